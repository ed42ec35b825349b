//! A port is small enough to be implemented in an afternoon.

use super::source::Source;
use super::{Violation, Workspace};

const METHODS_MAX: usize = 12;

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    let is_port = |source: &&Source| {
        source.package.starts_with("store-") && source.path.ends_with("/src/lib.rs")
    };
    let traits = workspace.sources.iter().filter(is_port).flat_map(|source| {
        let traits = traits(source).into_iter();
        traits.map(|found| (source.path.as_str(), found))
    });
    traits
        .filter(|(_, found)| found.methods > METHODS_MAX)
        .map(|(path, found)| {
            let message = format!(
                "trait `{}` has {} methods, at most {METHODS_MAX}: split it by noun",
                found.name, found.methods
            );
            Violation::new(path, found.line, message)
        })
        .collect()
}

struct Trait {
    name: String,
    line: usize,
    methods: usize,
}

fn traits(source: &Source) -> Vec<Trait> {
    let mut found: Vec<Trait> = Vec::new();
    let mut inside = false;
    for (number, line) in source.numbered() {
        let code = line.code();
        if let Some(rest) = code.strip_prefix("pub trait ") {
            let is_name = |c: char| c.is_alphanumeric() || c == '_';
            let name: String = rest.chars().take_while(|c| is_name(*c)).collect();
            found.push(Trait {
                name,
                line: number,
                methods: 0,
            });
            inside = true;
        } else if code.starts_with('}') {
            inside = false;
        } else if inside && code.starts_with("    ") && !code.starts_with("     ") {
            let method = code.trim_start();
            let is_method = method.starts_with("fn ") || method.starts_with("async fn ");
            if let Some(last) = found.last_mut() {
                last.methods += usize::from(is_method);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::workspace::fake;

    #[test]
    fn a_wide_port_is_found() {
        let port = |methods: usize| {
            let methods = "    async fn verb(&self);\n".repeat(methods);
            let text = format!("pub trait TopicStore {{\n{methods}}}\nimpl X {{\n{methods}}}\n");
            check(&fake::with_source(
                "crates/store-topic/src/lib.rs",
                "store-topic",
                &text,
            ))
        };
        assert!(port(12).is_empty());
        assert!(
            port(13)[0]
                .message
                .starts_with("trait `TopicStore` has 13 methods")
        );
    }
}
