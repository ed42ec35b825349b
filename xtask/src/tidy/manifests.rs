//! What every manifest keeps to: versions in one table, lints in one table, names after folders.

use super::workspace::Package;
use super::{Violation, Workspace};

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    workspace.packages.iter().flat_map(check_package).collect()
}

fn check_package(package: &Package) -> Vec<Violation> {
    let path = package.manifest_path();
    let mut violations = Vec::new();
    let mut found = |line, message: String| violations.push(Violation::new(&path, line, message));

    let folder = package.folder.rsplit('/').next().unwrap_or_default();
    if folder != package.name {
        found(
            1,
            format!(
                "package `twinfold-{}` stands in folder `{folder}`",
                package.name
            ),
        );
    }
    if !package.manifest.contains("[lints]\nworkspace = true") {
        found(
            1,
            "lints come from the workspace: `[lints] workspace = true`".to_owned(),
        );
    }
    let is_library = package.name != "xtask";
    for dependency in package
        .dependencies
        .iter()
        .filter(|dependency| !dependency.dev)
    {
        let line = package.manifest_line(&dependency.name);
        if package.name == "model" && dependency.name.starts_with("serde") {
            found(
                line,
                "the model is not serializable: `wire` has its bytes".to_owned(),
            );
        }
        if is_library && dependency.name == "anyhow" {
            found(
                line,
                "a library has an error enum of its own, not `anyhow`".to_owned(),
            );
        }
    }
    for (line, name) in dependencies_with_versions(&package.manifest) {
        found(
            line,
            format!("the version of `{name}` belongs in the workspace's table"),
        );
    }
    violations
}

/// Dependencies that are not taken from the workspace: line and name.
fn dependencies_with_versions(manifest: &str) -> Vec<(usize, &str)> {
    let mut in_dependencies = false;
    let mut found = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            in_dependencies = line.trim_end().ends_with("dependencies]");
        } else if in_dependencies
            && let Some((name, value)) = line.split_once('=')
            && !value.contains("workspace = true")
            && !name.trim_end().ends_with(".workspace")
        {
            found.push((index + 1, name.trim()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::workspace::fake;

    const LINTS: &str = "[lints]\nworkspace = true\n";

    fn messages(name: &str, manifest: &str, deps: &[(&str, bool, bool)]) -> Vec<String> {
        let found = check(&fake::with_package(name, manifest, deps));
        found
            .into_iter()
            .map(|violation| violation.message)
            .collect()
    }

    #[test]
    fn a_manifest_in_order_passes() {
        let manifest = format!(
            "[package]\nversion = \"1\"\n{LINTS}[dependencies]\nserde = {{ workspace = true }}\narrow.workspace = true\n"
        );
        assert!(messages("wire", &manifest, &[("serde", false, false)]).is_empty());
    }

    #[test]
    fn each_fault_is_found() {
        let manifest = "[dev-dependencies]\nserde = \"1\"\n";
        let found = messages(
            "model",
            manifest,
            &[("serde", false, false), ("anyhow", false, false)],
        );
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[3].contains("version of `serde`"));
        assert!(messages("model", LINTS, &[("serde", false, true)]).is_empty());
    }
}
