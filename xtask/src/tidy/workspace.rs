//! What the rules look at: packages with their dependencies, manifests and source files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::source::Source;

/// Prefix of our package names; a package is called by the rest in all tables.
const PREFIX: &str = "twinfold-";

#[derive(Debug, Default)]
pub struct Workspace {
    pub packages: Vec<Package>,
    pub sources: Vec<Source>,
    /// The text of ARCHITECTURE.md; empty when there is none.
    pub architecture: String,
    /// The text of docs/operations.md; empty when there is none.
    pub operations: String,
    /// The text of Cargo.lock.
    pub lock_file: String,
}

#[derive(Debug, Default)]
pub struct Package {
    /// Without the project's prefix.
    pub name: String,
    /// The folder, from the root of the workspace.
    pub folder: String,
    pub manifest: String,
    pub dependencies: Vec<Dependency>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Without the project's prefix when it is one of ours.
    pub name: String,
    pub ours: bool,
    pub dev: bool,
}

impl Package {
    pub fn manifest_path(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }

    /// The first line of the manifest that contains `text`, counted from 1.
    pub fn manifest_line(&self, text: &str) -> usize {
        let position = self.manifest.lines().position(|line| line.contains(text));
        position.map_or(1, |index| index + 1)
    }
}

impl Workspace {
    pub fn load() -> Result<Self, String> {
        let metadata = cargo_metadata()?;
        let root = metadata["workspace_root"]
            .as_str()
            .map(PathBuf::from)
            .ok_or("cargo metadata names no workspace root")?;
        let packages = metadata["packages"].as_array().into_iter().flatten();
        let packages = packages
            .map(|package| read_package(&root, package))
            .collect::<Result<Vec<_>, _>>()?;
        let mut sources = Vec::new();
        for package in &packages {
            read_sources(&root, &root.join(&package.folder), package, &mut sources)?;
        }
        sources.sort_by(|a: &Source, b: &Source| a.path.cmp(&b.path));
        Ok(Self {
            packages,
            sources,
            architecture: fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default(),
            operations: fs::read_to_string(root.join("docs/operations.md")).unwrap_or_default(),
            lock_file: read(&root.join("Cargo.lock"))?,
        })
    }
}

fn cargo_metadata() -> Result<Value, String> {
    let output = Command::new("cargo")
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .output()
        .map_err(|error| format!("cargo metadata cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))
}

fn read_package(root: &Path, package: &Value) -> Result<Package, String> {
    let text = |key: &str| {
        let value = package[key].as_str();
        value.ok_or_else(|| format!("cargo metadata: a package without `{key}`"))
    };
    let manifest_path = Path::new(text("manifest_path")?);
    let folder = manifest_path.parent().unwrap_or(root);
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    Ok(Package {
        name: short_name(text("name")?).to_owned(),
        folder: relative(root, folder),
        manifest: read(manifest_path)?,
        dependencies: dependencies.map(read_dependency).collect(),
    })
}

fn read_dependency(dependency: &Value) -> Dependency {
    let name = dependency["name"].as_str().unwrap_or_default();
    Dependency {
        name: short_name(name).to_owned(),
        ours: name.starts_with(PREFIX),
        dev: dependency["kind"] == "dev",
    }
}

fn short_name(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

fn read_sources(
    root: &Path,
    folder: &Path,
    package: &Package,
    sources: &mut Vec<Source>,
) -> Result<(), String> {
    let fail = |error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.is_dir() {
            // A folder with a manifest is a package of its own.
            if !path.join("Cargo.toml").exists() {
                read_sources(root, &path, package, sources)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(Source::new(
                &relative(root, &path),
                &package.name,
                &read(&path)?,
            ));
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn relative(root: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap_or(path);
    inside.to_string_lossy().into_owned()
}

#[cfg(test)]
pub mod fake {
    use super::*;

    /// A workspace of one source file, as a rule would see it.
    pub fn with_source(path: &str, package: &str, text: &str) -> Workspace {
        Workspace {
            sources: vec![Source::new(path, package, text)],
            ..Workspace::default()
        }
    }

    /// A workspace of one package with these dependencies: (name, ours, dev).
    pub fn with_package(name: &str, manifest: &str, deps: &[(&str, bool, bool)]) -> Workspace {
        let dependency = |&(name, ours, dev): &(&str, bool, bool)| Dependency {
            name: name.to_owned(),
            ours,
            dev,
        };
        Workspace {
            packages: vec![Package {
                name: name.to_owned(),
                folder: format!("crates/{name}"),
                manifest: manifest.to_owned(),
                dependencies: deps.iter().map(dependency).collect(),
            }],
            ..Workspace::default()
        }
    }
}
