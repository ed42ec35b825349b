//! The map names every part of the country.

use super::{Violation, Workspace};

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    let is_part = |folder: &str| folder.starts_with("crates/") || folder.starts_with("services/");
    let parts = workspace
        .packages
        .iter()
        .filter(|package| is_part(&package.folder));
    parts
        .filter(|package| {
            !workspace
                .architecture
                .contains(&format!("`{}`", package.folder))
        })
        .map(|package| {
            let message = format!("`{}` is not on the map", package.folder);
            Violation::new("ARCHITECTURE.md", 1, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::workspace::fake;

    #[test]
    fn an_unnamed_folder_is_found() {
        let mut workspace = fake::with_package("wire", "", &[]);
        assert_eq!(check(&workspace).len(), 1);
        workspace.architecture = "- `crates/wire`: bytes".to_owned();
        assert!(check(&workspace).is_empty());
    }
}
