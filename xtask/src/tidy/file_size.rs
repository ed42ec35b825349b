//! Files stay small enough to be read in one go. Test code does not count.

use super::{Violation, Workspace};

const LINES_AIM: usize = 400;
const LINES_MAX: usize = 800;

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    longer_than(workspace, LINES_MAX)
        .map(|(path, lines)| {
            let message = format!("{lines} lines of code, at most {LINES_MAX}");
            Violation::new(path, lines, message)
        })
        .collect()
}

/// Files that are longer than we aim for: worth a look, no failure.
pub fn notes(workspace: &Workspace) -> Vec<String> {
    longer_than(workspace, LINES_AIM)
        .filter(|(_, lines)| *lines <= LINES_MAX)
        .map(|(path, lines)| format!("{path}: {lines} lines of code, we aim for {LINES_AIM}"))
        .collect()
}

fn longer_than(workspace: &Workspace, limit: usize) -> impl Iterator<Item = (&str, usize)> {
    let sized = workspace.sources.iter();
    sized
        .map(|source| (source.path.as_str(), source.code_lines()))
        .filter(move |(_, lines)| *lines > limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::workspace::fake;

    #[test]
    fn only_code_counts() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    x\n".repeat(900));
        let workspace = |code_lines: usize| {
            let text = format!("{}{tests}", "fn f() {}\n".repeat(code_lines));
            fake::with_source("crates/wire/src/lib.rs", "wire", &text)
        };
        assert!(check(&workspace(800)).is_empty());
        assert_eq!(check(&workspace(801)).len(), 1);
        assert_eq!(notes(&workspace(401)).len(), 1);
        assert!(notes(&workspace(400)).is_empty());
        assert!(notes(&workspace(801)).is_empty());
    }
}
