//! Words that stand for work not done or for limits not set.

use super::{Violation, Workspace};

const FORBIDDEN: &[(&str, &str)] = &[
    ("unbounded_channel", "every queue has a limit"),
    ("mpsc::unbounded(", "every queue has a limit"),
    (
        "std::sync::mpsc::channel(",
        "every queue has a limit: `sync_channel`",
    ),
    ("#[ignore", "a test runs or is deleted"),
    ("should_panic", "check the error, not the crash"),
    ("todo!(", "finish it or leave it out"),
    ("unimplemented!(", "finish it or leave it out"),
    ("dbg!(", "left over from debugging"),
];

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    // This file has to name them.
    let sources = workspace
        .sources
        .iter()
        .filter(|source| !source.path.starts_with("xtask/"));
    sources
        .flat_map(|source| {
            source.numbered().filter_map(|(number, line)| {
                let found = FORBIDDEN
                    .iter()
                    .find(|(word, _)| line.code().contains(word));
                let (word, reason) = found?;
                let message = format!("`{word}`: {reason}");
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
    fn words_are_found_in_code_and_not_in_comments() {
        let text = "// no unbounded_channel here\nlet (a, b) = unbounded_channel();\n#[ignore]\n";
        let found = check(&fake::with_source("crates/wire/src/lib.rs", "wire", text));
        let lines: Vec<usize> = found.iter().map(|violation| violation.line).collect();
        assert_eq!(lines, [2, 3]);
    }
}
