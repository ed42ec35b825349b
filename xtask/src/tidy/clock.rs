//! Time is handed in. Only the places named here read a clock.

use super::{Violation, Workspace};

const READS: &[&str] = &["SystemTime::now", "Instant::now", "Utc::now", "Local::now"];

/// Where a clock may be read, and why.
const ALLOWED: &[(&str, &str)] = &[
    (
        "crates/service-kit/src/clock.rs",
        "the clock that all others are handed",
    ),
    (
        "crates/store-topic/src/",
        "the log stamps what it takes in, by its own clock",
    ),
    ("crates/store-offline/src/", "commit times are the table's"),
    ("benches/", "measuring is reading the clock"),
    ("xtask/", "the rule names what it forbids"),
];

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    let allowed = |path: &str| ALLOWED.iter().any(|(prefix, _)| path.starts_with(prefix));
    let sources = workspace
        .sources
        .iter()
        .filter(|source| !allowed(&source.path));
    sources
        .flat_map(|source| {
            let code = source.numbered().filter(|(_, line)| !line.is_test);
            code.filter_map(|(number, line)| {
                let found = READS.iter().find(|call| line.code().contains(**call))?;
                let message = format!("`{found}`: take a `Clock` instead");
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
    fn the_clock_is_read_where_allowed() {
        let text = "let now = std::time::SystemTime::now();";
        let found = |path| check(&fake::with_source(path, "any", text)).len();
        assert_eq!(found("services/api/src/vectors.rs"), 1);
        assert_eq!(found("crates/service-kit/src/clock.rs"), 0);
        assert_eq!(found("crates/store-topic/src/embedded/segment.rs"), 0);
        assert_eq!(found("services/api/tests/vectors.rs"), 0);
    }
}
