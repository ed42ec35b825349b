//! Every crate begins by saying what it is.

use super::{Violation, Workspace};

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    let roots = workspace
        .sources
        .iter()
        .filter(|source| source.path.ends_with("/src/lib.rs"));
    roots
        .filter(|source| {
            let first = source.lines.first();
            !first.is_some_and(|line| line.text.starts_with("//! ") && line.text.len() > 20)
        })
        .map(|source| {
            let message = "a crate's lib.rs begins with `//!` and what the crate is";
            Violation::new(&source.path, 1, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::workspace::fake;

    #[test]
    fn a_crate_that_says_nothing_is_found() {
        let found = |text| check(&fake::with_source("crates/wire/src/lib.rs", "wire", text)).len();
        assert_eq!(found("mod a;"), 1);
        assert_eq!(found("//! stub"), 1);
        assert_eq!(found(""), 1);
        assert_eq!(found("//! Every byte that leaves a process.\n"), 0);
    }
}
