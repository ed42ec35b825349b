use std::fs;
use std::path::Path;

use serde_json::Value;

/// Says that files which a test would compare are to be written instead.
const VARIABLE: &str = "TWINFOLD_WRITE_COMMITTED";

/// Compares a document with the one that is committed at a path below the workspace.
///
/// # Panics
///
/// When they differ; the message says how to write it.
#[expect(
    clippy::disallowed_methods,
    reason = "whether to write is the wish of whoever runs the test"
)]
pub fn assert_committed(path: &str, document: &Value) {
    // Tests run in the folder of their crate. The folder it was compiled in may be another clone's.
    let file = Path::new("../..").join(path);
    if std::env::var_os(VARIABLE).is_some() {
        let mut text = serde_json::to_string_pretty(document).expect("serializable");
        text.push('\n');
        fs::write(&file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        return;
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    let committed: Value = serde_json::from_str(&committed).unwrap_or_default();
    assert!(
        committed == *document,
        "{path} is not what the code says; {VARIABLE}=1 with the same test writes it"
    );
}
