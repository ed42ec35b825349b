//! Tasks are spawned by the task group, which names them and sees their end.
//!
//! A `JoinSet` is fine: it is awaited where it is made, and its tasks end with it.

use super::{Violation, Workspace};

const SPAWNS: &[&str] = &["tokio::spawn(", "task::spawn(", "spawn_local("];

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    let elsewhere = workspace.sources.iter().filter(|source| {
        !matches!(
            source.package.as_str(),
            "service-kit" | "testkit" | "benches" | "xtask"
        )
    });
    elsewhere
        .flat_map(|source| {
            let code = source.numbered().filter(|(_, line)| !line.is_test);
            code.filter_map(|(number, line)| {
                let found = SPAWNS.iter().find(|call| line.code().contains(**call))?;
                let call = found.trim_end_matches('(');
                let message = format!("`{call}`: spawn through a `TaskGroup`, with a name");
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
    fn a_nameless_task_is_found() {
        let text = "tokio::spawn(async {});\ntokio::task::spawn_blocking(work);\n";
        let found = check(&fake::with_source(
            "crates/ingest/src/lib.rs",
            "ingest",
            text,
        ));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 1);
        let kit = fake::with_source("crates/service-kit/src/lib.rs", "service-kit", text);
        assert!(check(&kit).is_empty());
    }
}
