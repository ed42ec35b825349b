//! Where decisions are made, nothing is read, written, awaited or asked for the time.

use super::{Violation, Workspace};

const PURE: &[&str] = &[
    "crates/model/src/",
    "crates/wire/src/",
    "crates/ingest/src/plan",
    "crates/ingest/src/admission",
    "crates/training/src/plan",
    "services/registry/src/avro/",
];
const IMPURE: &[&str] = &[
    "async fn",
    ".await",
    "tokio::",
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    "SystemTime",
    "Instant",
    "println!",
];

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    let is_pure = |path: &str| PURE.iter().any(|prefix| path.starts_with(prefix));
    let sources = workspace
        .sources
        .iter()
        .filter(|source| is_pure(&source.path));
    sources
        .flat_map(|source| {
            let code = source.numbered().filter(|(_, line)| !line.is_test);
            code.filter_map(|(number, line)| {
                let found = IMPURE.iter().find(|word| line.code().contains(**word))?;
                let message = format!("`{found}` in code that only decides");
                Some(Violation::new(&source.path, number, message))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::workspace::fake;

    #[test]
    fn io_is_found_in_pure_code_only() {
        let text = "fn f() {\n    std::fs::read(path);\n}\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
        let found = |path| check(&fake::with_source(path, "any", text));
        assert_eq!(found("crates/ingest/src/plan.rs")[0].line, 2);
        assert_eq!(found("crates/model/src/name.rs").len(), 1);
        assert!(found("crates/ingest/src/consume.rs").is_empty());
    }
}
