//! The style of the project as a test: what a compiler does not check and a review forgets.
//!
//! One file per rule. A rule reads the [`Workspace`] and says what it found; all rules run, and
//! everything found is printed at once.

mod architecture;
mod banned_names;
mod clock;
mod conformance;
mod crate_docs;
mod edges;
mod file_size;
mod forbidden;
mod lock_file;
mod main_size;
mod manifests;
mod metrics;
mod port_size;
mod pure_code;
mod sleeping;
mod source;
mod spawning;
mod third_party;
mod workspace;

use std::fmt;
use std::process::ExitCode;

use workspace::Workspace;

type Rule = fn(&Workspace) -> Vec<Violation>;

const RULES: &[(&str, Rule)] = &[
    ("edges", edges::check),
    ("third-party", third_party::check),
    ("manifests", manifests::check),
    ("lock-file", lock_file::check),
    ("file-size", file_size::check),
    ("main-size", main_size::check),
    ("banned-names", banned_names::check),
    ("crate-docs", crate_docs::check),
    ("pure-code", pure_code::check),
    ("clock", clock::check),
    ("spawning", spawning::check),
    ("sleeping", sleeping::check),
    ("forbidden", forbidden::check),
    ("port-size", port_size::check),
    ("conformance", conformance::check),
    ("architecture", architecture::check),
    ("metrics", metrics::check),
];

/// Something that is not as the project wants it, at a place.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    path: String,
    /// Counted from 1.
    line: usize,
    message: String,
}

impl Violation {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Checks the workspace around the current folder.
pub fn run() -> ExitCode {
    let workspace = match Workspace::load() {
        Ok(workspace) => workspace,
        Err(error) => {
            eprintln!("tidy: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut found = 0;
    for (name, rule) in RULES {
        for violation in rule(&workspace) {
            eprintln!("{violation} [{name}]");
            found += 1;
        }
    }
    for note in file_size::notes(&workspace) {
        eprintln!("note: {note}");
    }
    if found > 0 {
        eprintln!("tidy: {found} violations");
        return ExitCode::FAILURE;
    }
    eprintln!(
        "tidy: {} rules, {} crates, {} source files, nothing found",
        RULES.len(),
        workspace.packages.len(),
        workspace.sources.len()
    );
    ExitCode::SUCCESS
}
