use twinfold_client::Fault;

pub type Result<T, E = ForeignError> = std::result::Result<T, E>;

/// What goes wrong with a schema registry that others run.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// The URL is not shown: it may hold a password.
    #[error("the url of the schema registry is not valid: {reason}")]
    InvalidUrl { reason: String },
    #[error("schema registry {url} does not answer: {reason}")]
    Unavailable { url: String, reason: String },
    #[error("schema registry {url} refuses a schema under subject `{subject}`: {message}")]
    Incompatible {
        url: String,
        subject: String,
        message: String,
    },
    #[error("schema registry {url} refuses what it is asked: {message} (code {code})")]
    Refused {
        url: String,
        code: u32,
        message: String,
    },
    #[error("schema registry {url} does not give back schema {id} as it was registered: {reason}")]
    NotGivenBack {
        url: String,
        id: u32,
        reason: String,
    },
}

impl ForeignError {
    /// Whether the same question may be answered later without a change by who asks.
    pub fn retry(&self) -> bool {
        match self {
            // It may have several servers, of which one does not know yet what another has stored.
            Self::Unavailable { .. } | Self::NotGivenBack { .. } => true,
            Self::InvalidUrl { .. } | Self::Incompatible { .. } | Self::Refused { .. } => false,
        }
    }

    pub fn fault(&self) -> Fault {
        match self {
            Self::InvalidUrl { .. } | Self::Incompatible { .. } => Fault::Caller,
            Self::Unavailable { .. } | Self::Refused { .. } | Self::NotGivenBack { .. } => {
                Fault::Dependency
            }
        }
    }
}
