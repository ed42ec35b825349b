//! Each outside system is known to the crates named here and to no other.

use super::{Violation, Workspace};

/// Has no code: it only names features of third-party crates.
const NAMES_FEATURES: &str = "shared-features";

/// Benchmarks use clients bare, to compare.
const KNOWN_TO: &[(&str, &[&str])] = &[
    ("rdkafka", &["store-topic", "benches"]),
    ("scylla", &["store-online", "benches"]),
    ("deltalake", &["store-offline"]),
    ("deltalake-core", &["store-offline"]),
    ("object_store", &["store-offline"]),
    ("datafusion", &["store-offline", "training", "benches"]),
    ("sqlx", &["store-metadata"]),
    (
        "axum",
        // The tests have a proxy that breaks what passes.
        &[
            "service-kit",
            "http-kit",
            "registry",
            "api",
            "integration-tests",
        ],
    ),
    ("pyo3", &["sdk"]),
];

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    let packages = workspace.packages.iter();
    for package in packages.filter(|package| package.name != NAMES_FEATURES) {
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
        let expected = "crates/registry/Cargo.toml:2: `sqlx` belongs in store-metadata only";
        assert_eq!(found[0].to_string(), expected);
    }
}
