//! What a process counts is told in files named `metrics.rs` and documented, both ways: the table in
//! docs/operations.md has every name, and no other.

use std::collections::BTreeSet;

use super::source::Source;
use super::{Violation, Workspace};

const MACROS: &[&str] = &["counter!(", "gauge!(", "histogram!("];
const PREFIX: &str = "twinfold_";
const DOCUMENT: &str = "docs/operations.md";

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    let documented: Vec<(usize, &str)> = documented(&workspace.operations).collect();
    let mut told = BTreeSet::new();
    for source in workspace
        .sources
        .iter()
        .filter(|source| !source.path.starts_with("xtask/"))
    {
        if !source.path.ends_with("/metrics.rs") {
            violations.extend(told_elsewhere(source));
            continue;
        }
        for (number, name) in names(source) {
            told.insert(name);
            if !documented.iter().any(|(_, found)| *found == name) {
                let message = format!("`{name}` is not in the table of {DOCUMENT}");
                violations.push(Violation::new(&source.path, number, message));
            }
        }
    }
    let unknown = documented.iter().filter(|(_, name)| !told.contains(name));
    violations.extend(unknown.map(|(number, name)| {
        let message = format!("nothing tells `{name}`");
        Violation::new(DOCUMENT, *number, message)
    }));
    violations
}

fn told_elsewhere(source: &Source) -> impl Iterator<Item = Violation> + '_ {
    let code = source.numbered().filter(|(_, line)| !line.is_test);
    code.filter_map(|(number, line)| {
        let found = MACROS.iter().find(|call| line.code().contains(**call))?;
        let call = found.trim_end_matches('(');
        let message = format!("`{call}`: metrics are told in a file named metrics.rs");
        Some(Violation::new(&source.path, number, message))
    })
}

/// The names in quotes.
fn names(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let code = source.numbered().filter(|(_, line)| !line.is_test);
    code.flat_map(|(number, line)| {
        let quoted = line.code().split('"').skip(1).step_by(2);
        let names = quoted.filter(|text| text.starts_with(PREFIX));
        names.map(move |name| (number, name))
    })
}

/// The rows of the table that begin with a name.
fn documented(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let name = line.strip_prefix("| `")?.split('`').next()?;
        name.starts_with(PREFIX).then_some((index + 1, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::workspace::fake;

    fn found(path: &str, text: &str, operations: &str) -> Vec<String> {
        let mut workspace = fake::with_source(path, "ingest", text);
        workspace.operations = operations.to_owned();
        check(&workspace).iter().map(Violation::to_string).collect()
    }

    #[test]
    fn the_table_has_every_name_and_no_other() {
        let text = "const ROWS: &str = \"twinfold_rows\";\ncounter!(ROWS);\n";
        let path = "crates/ingest/src/metrics.rs";
        let row = "| `twinfold_rows` | counter | | rows | |\n";
        assert_eq!(found(path, text, row), Vec::<String>::new());
        let missing = "crates/ingest/src/metrics.rs:1: `twinfold_rows` is not in the table of \
                       docs/operations.md";
        assert_eq!(found(path, text, ""), [missing]);
        let two = format!("{row}| `twinfold_old` | gauge | | | |\n");
        let unknown = "docs/operations.md:2: nothing tells `twinfold_old`";
        assert_eq!(found(path, text, &two), [unknown]);
    }

    #[test]
    fn metrics_have_their_own_file() {
        let text = "counter!(\"rows\").increment(1);";
        let found = found("crates/ingest/src/consumer.rs", text, "");
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
