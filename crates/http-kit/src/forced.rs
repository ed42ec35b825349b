use schemars::JsonSchema;
use serde::Deserialize;
use twinfold_client::Deletion;

/// What is to become of a feature group that is in use, as it stands among the query parameters.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Forced {
    /// Also while feature views or training datasets use it.
    #[serde(default)]
    force: bool,
}

impl From<Forced> for Deletion {
    fn from(forced: Forced) -> Self {
        Self::forced(forced.force)
    }
}
