//! A module is called after what it holds.

use super::{Violation, Workspace};

const BANNED: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "types", "misc",
];

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    let files = workspace.sources.iter().flat_map(|source| {
        let parts = source
            .path
            .split('/')
            .map(|part| part.trim_end_matches(".rs"));
        let banned = parts.filter(|part| BANNED.contains(part));
        banned.map(|part| Violation::new(&source.path, 1, message(part)))
    });
    let inline = workspace.sources.iter().flat_map(|source| {
        source.numbered().filter_map(|(number, line)| {
            let name = line
                .code()
                .split("mod ")
                .nth(1)?
                .trim_end()
                .strip_suffix('{')?
                .trim();
            BANNED
                .contains(&name)
                .then(|| Violation::new(&source.path, number, message(name)))
        })
    });
    files.chain(inline).collect()
}

fn message(name: &str) -> String {
    format!("`{name}` says nothing: name the module after what it holds")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::workspace::fake;

    #[test]
    fn empty_names_are_found_in_paths_and_modules() {
        let found = |path, text| check(&fake::with_source(path, "wire", text)).len();
        assert_eq!(found("crates/wire/src/util.rs", ""), 1);
        assert_eq!(found("crates/wire/src/common/key.rs", ""), 1);
        assert_eq!(found("crates/wire/src/lib.rs", "pub mod helpers {\n}"), 1);
        assert_eq!(
            found("crates/wire/src/feature_type.rs", "mod types_of_rows {\n}"),
            0
        );
    }
}
