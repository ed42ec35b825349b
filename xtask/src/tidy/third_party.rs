//! Each outside system is known to the crates named here and to no other.

use super::{Violation, Workspace};

/// `shared-features` names features of some of them, without code.
const KNOWN_TO: &[(&str, &[&str])] = &[
    ("rdkafka", &["store-topic"]),
    ("scylla", &["store-online"]),
    ("deltalake", &["store-offline"]),
    ("deltalake-core", &["store-offline", "shared-features"]),
    ("object_store", &["store-offline", "shared-features"]),
    (
        "datafusion",
        &["store-offline", "training", "shared-features"],
    ),
    ("sqlx", &["store-metadata", "shared-features"]),
    (
        "axum",
        &[
            "service-kit",
            "http-kit",
            "registry",
            "onlinefs",
            "offlinefs",
            "api",
        ],
    ),
    ("pyo3", &["sdk"]),
];

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in &workspace.packages {
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| !dependency.ours)
        {
            let known = KNOWN_TO
                .iter()
                .find(|(system, _)| *system == dependency.name);
            let Some((system, crates)) = known else {
                continue;
            };
            if !crates.contains(&package.name.as_str()) {
                let line = package.manifest_line(system);
                let message = format!("`{system}` belongs in {} only", crates.join(", "));
                violations.push(Violation::new(&package.manifest_path(), line, message));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::workspace::fake;

    #[test]
    fn a_system_stays_in_its_crate() {
        let sqlx = [("sqlx", false, false)];
        assert!(check(&fake::with_package("store-metadata", "", &sqlx)).is_empty());
        let found = check(&fake::with_package("registry", "\nsqlx = \"1\"", &sqlx));
        let expected =
            "crates/registry/Cargo.toml:2: `sqlx` belongs in store-metadata, shared-features only";
        assert_eq!(found[0].to_string(), expected);
    }
}
