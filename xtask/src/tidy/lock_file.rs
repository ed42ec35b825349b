//! What must be in the tree once, and what not at all: a second Arrow has types of its own that do not
//! fit the first, and a second TLS stack is a second list of faults to follow.

use super::{Violation, Workspace};

const PATH: &str = "Cargo.lock";
const ONCE: &[&str] = &[
    "arrow-array",
    "datafusion",
    "object_store",
    "parquet",
    "rustls",
];
/// `openssl-sys` without `openssl` is how librdkafka, which has no other, finds the library.
const NEVER: &[&str] = &["native-tls", "openssl"];

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut seen = Vec::new();
    for (index, line) in workspace.lock_file.lines().enumerate() {
        let quoted = line.strip_prefix("name = \"");
        let Some(name) = quoted.and_then(|rest| rest.strip_suffix('"')) else {
            continue;
        };
        let message = if NEVER.contains(&name) {
            format!("`{name}` is a second TLS stack; rustls is ours")
        } else if ONCE.contains(&name) && seen.contains(&name) {
            format!("a second version of `{name}`")
        } else {
            seen.push(name);
            continue;
        };
        violations.push(Violation::new(PATH, index + 1, message));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_arrow_and_one_tls_stack() {
        let found = |names: &[&str]| {
            let packages = names.iter().map(|name| format!("name = \"{name}\"\n"));
            let lock_file = packages.collect();
            check(&Workspace {
                lock_file,
                ..Workspace::default()
            })
        };
        assert!(found(&["arrow-array", "syn", "syn", "rustls"]).is_empty());
        let violations = found(&["arrow-array", "arrow-array", "openssl"]);
        let lines: Vec<_> = violations.iter().map(|violation| violation.line).collect();
        assert_eq!(lines, [2, 3]);
    }
}
