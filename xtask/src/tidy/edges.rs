//! Which of our crates may depend on which. A new edge is a change of the architecture: it is added
//! here in a commit of its own, with its reason.

use super::{Violation, Workspace};

/// Crate, and what it may depend on. `model` and `wire` are open to all that come after them.
const ALLOWED: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("wire", &["model"]),
    ("shared-features", &[]),
    ("service-kit", &[]),
    ("testkit", &["model"]),
    ("store-topic", &["model", "wire"]),
    ("store-online", &["model", "wire"]),
    ("store-offline", &["model", "wire", "shared-features"]),
    ("store-metadata", &["model", "wire"]),
    // The clock: rows that bring no time are stamped where they are encoded.
    ("client", &["model", "wire", "service-kit", "store-topic"]),
    // Errors as clients raise them are what HTTP answers with.
    ("http-kit", &["model", "wire", "client"]),
    (
        "ingest",
        &["model", "wire", "store-topic", "client", "service-kit"],
    ),
    ("training", &["model", "wire", "client", "store-offline"]),
    // The stores for create and drop only.
    (
        "registry",
        &[
            "model",
            "wire",
            "client",
            "http-kit",
            "service-kit",
            "store-metadata",
            "store-topic",
            "store-online",
            "store-offline",
        ],
    ),
    (
        "onlinefs",
        &[
            "model",
            "wire",
            "client",
            "ingest",
            "service-kit",
            "store-online",
            "store-topic",
        ],
    ),
    (
        "offlinefs",
        &[
            "model",
            "wire",
            "client",
            "ingest",
            "service-kit",
            "store-offline",
            "store-topic",
        ],
    ),
    // The topic for inserts and progress.
    (
        "api",
        &[
            "model",
            "wire",
            "client",
            "http-kit",
            "service-kit",
            "store-topic",
            "store-online",
            "store-offline",
            "training",
        ],
    ),
    // It opens the backends and hands them to the services: wiring only.
    (
        "embedded",
        &[
            "model",
            "client",
            "http-kit",
            "ingest",
            "service-kit",
            "store-metadata",
            "store-offline",
            "store-online",
            "store-topic",
            "registry",
            "onlinefs",
            "offlinefs",
            "api",
        ],
    ),
    ("sdk", &["model", "wire", "client", "embedded"]),
    // Measurements stand outside: they may look at every part.
    (
        "benches",
        &[
            "model",
            "wire",
            "client",
            "ingest",
            "training",
            "service-kit",
            "store-metadata",
            "store-offline",
            "store-online",
            "store-topic",
            "registry",
            "onlinefs",
            "offlinefs",
            "api",
            "embedded",
            "testkit",
        ],
    ),
    // Stories see the platform from outside, and the topic to put bad records on it. Fault tests compare
    // what the stores hold with the topic, while the services run.
    (
        "integration-tests",
        &[
            "model",
            "wire",
            "client",
            "store-metadata",
            "store-offline",
            "store-online",
            "store-topic",
            "embedded",
            "testkit",
        ],
    ),
    ("xtask", &[]),
];

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in &workspace.packages {
        let path = package.manifest_path();
        let allowed = ALLOWED.iter().find(|(name, _)| *name == package.name);
        let Some((_, allowed)) = allowed else {
            let message = format!(
                "crate `{}` has no place in the table of edges",
                package.name
            );
            violations.push(Violation::new(&path, 1, message));
            continue;
        };
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| dependency.ours)
        {
            let free = dependency.dev && dependency.name == "testkit";
            if !free && !allowed.contains(&dependency.name.as_str()) {
                let line = package.manifest_line(&format!("twinfold-{} ", dependency.name));
                let message = format!(
                    "`{}` must not depend on `{}`",
                    package.name, dependency.name
                );
                violations.push(Violation::new(&path, line, message));
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
    fn arrows_go_one_way() {
        let good = fake::with_package(
            "wire",
            "",
            &[("model", true, false), ("testkit", true, true)],
        );
        assert!(check(&good).is_empty());
        let manifest = "[dependencies]\ntwinfold-client = { workspace = true }\n";
        let bad = fake::with_package("wire", manifest, &[("client", true, false)]);
        let expected = "crates/wire/Cargo.toml:2: `wire` must not depend on `client`";
        assert_eq!(check(&bad)[0].to_string(), expected);
        let in_production = fake::with_package("wire", "", &[("testkit", true, false)]);
        assert_eq!(check(&in_production).len(), 1);
    }

    #[test]
    fn a_crate_without_a_place_is_found() {
        assert_eq!(check(&fake::with_package("stray", "", &[])).len(), 1);
    }

    #[test]
    fn the_table_has_no_cycle() {
        // Each crate may depend only on those listed before it.
        for (index, (name, allowed)) in ALLOWED.iter().enumerate() {
            for dependency in *allowed {
                let place = ALLOWED.iter().position(|(name, _)| name == dependency);
                assert!(
                    place.is_some_and(|place| place < index),
                    "{name} -> {dependency}"
                );
            }
        }
    }
}
