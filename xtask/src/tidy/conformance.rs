//! Every backend of a port runs the port's conformance suite, in a test file that names it.

use super::source::Source;
use super::{Violation, Workspace};

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    let ports = ports(workspace);
    let stores = workspace
        .sources
        .iter()
        .filter(|source| source.package.starts_with("store-"));
    stores
        .flat_map(backends)
        .filter(|backend| ports.contains(&backend.port))
        .filter(|backend| !is_tested(workspace, backend))
        .map(|backend| {
            let message = format!(
                "backend `{}` is not named in a test that runs the conformance suite",
                backend.name
            );
            Violation::new(backend.path, backend.line, message)
        })
        .collect()
}

struct Backend<'a> {
    name: &'a str,
    port: &'a str,
    package: &'a str,
    path: &'a str,
    line: usize,
}

/// The names of our `pub trait …Store`.
fn ports(workspace: &Workspace) -> Vec<&str> {
    let lines = workspace.sources.iter().flat_map(|source| &source.lines);
    let traits = lines.filter_map(|line| line.code().strip_prefix("pub trait "));
    traits
        .map(first_word)
        .filter(|name| name.ends_with("Store"))
        .collect()
}

/// `impl …Store for X` outside of tests.
fn backends(source: &Source) -> Vec<Backend<'_>> {
    let code = source.numbered().filter(|(_, line)| !line.is_test);
    code.filter_map(|(number, line)| {
        let (port, backend) = line.code().strip_prefix("impl ")?.split_once(" for ")?;
        Some(Backend {
            name: first_word(backend),
            port,
            package: &source.package,
            path: &source.path,
            line: number,
        })
    })
    .collect()
}

fn first_word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

fn is_tested(workspace: &Workspace, backend: &Backend<'_>) -> bool {
    let same_crate = workspace
        .sources
        .iter()
        .filter(|source| source.package == backend.package);
    same_crate.into_iter().any(|source| {
        let mut tests = source.lines.iter().filter(|line| line.is_test);
        let runs_suite = tests.any(|line| line.code().contains("conformance!("));
        runs_suite
            && source
                .lines
                .iter()
                .any(|line| line.text.contains(backend.name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::workspace::fake;

    #[test]
    fn a_backend_without_its_suite_is_found() {
        let port = "pub trait TopicStore: Send {\n}\n";
        let found = |tests: &str| {
            let mut workspace = fake::with_source(
                "crates/store-topic/src/embedded.rs",
                "store-topic",
                "impl TopicStore for EmbeddedTopics {\n}\nimpl ObjectStore for Folder {\n}\n",
            );
            let others = [("src/lib.rs", port), ("tests/conformance.rs", tests)];
            workspace.sources.extend(others.map(|(file, text)| {
                Source::new(&format!("crates/store-topic/{file}"), "store-topic", text)
            }));
            check(&workspace)
        };
        let untested = found("fn other() {}");
        assert_eq!(untested.len(), 1);
        assert_eq!(untested[0].line, 1);
        assert!(untested[0].message.contains("`EmbeddedTopics`"));
        assert_eq!(found("topic_store_conformance!(x);").len(), 1);
        assert!(found("topic_store_conformance!(EmbeddedTopics::open(x));").is_empty());
    }
}
