//! `main` reads as a list; what it starts lives in the library.

use super::{Violation, Workspace};

const LINES_MAX: usize = 60;

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    let mains = workspace
        .sources
        .iter()
        .filter(|source| source.path.ends_with("/main.rs"));
    mains
        .filter(|source| source.code_lines() > LINES_MAX)
        .map(|source| {
            let message = format!(
                "{} lines, at most {LINES_MAX} in a main.rs",
                source.code_lines()
            );
            Violation::new(&source.path, LINES_MAX + 1, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::workspace::fake;

    #[test]
    fn a_long_main_is_found() {
        let text = "line\n".repeat(61);
        assert_eq!(
            check(&fake::with_source("services/api/src/main.rs", "api", &text)).len(),
            1
        );
        assert!(check(&fake::with_source("services/api/src/lib.rs", "api", &text)).is_empty());
    }
}
