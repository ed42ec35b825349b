//! Tests do not sleep: they wait for what they expect (`testkit::eventually`).

use super::{Violation, Workspace};

const SLEEPS: &[&str] = &["thread::sleep", "time::sleep", "sleep(Duration"];

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    let sources = workspace.sources.iter();
    sources
        .flat_map(|source| {
            let tests = source.numbered().filter(|(_, line)| line.is_test);
            tests.filter_map(|(number, line)| {
                let sleeps = SLEEPS.iter().any(|call| line.code().contains(call));
                let is_rule = source.path.ends_with("tidy/sleeping.rs");
                let message = "a test sleeps: use `testkit::eventually` or a channel";
                (sleeps && !is_rule).then(|| Violation::new(&source.path, number, message))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::workspace::fake;

    #[test]
    fn a_sleeping_test_is_found() {
        let text = "std::thread::sleep(delay);";
        let found = |path| check(&fake::with_source(path, "ingest", text)).len();
        assert_eq!(found("crates/ingest/tests/replay.rs"), 1);
        assert_eq!(found("crates/ingest/src/retry.rs"), 0);
    }
}
