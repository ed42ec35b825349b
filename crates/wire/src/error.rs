pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What stops a whole call. A bad record is not an error but a [`Defect`](crate::record::Defect).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Model(#[from] twinfold_model::Error),
    /// The Avro schema of a writer cannot be read, or does not lead to the features wanted.
    #[error("writer schema: {reason}")]
    WriterSchema { reason: String },
    /// A dataframe column whose type has no feature type.
    #[error("column `{column}` has type {found}, which cannot be stored: {wanted}")]
    UnsupportedColumn {
        column: String,
        found: String,
        wanted: String,
    },
    #[error("column `{column}`: found {found}, wanted {wanted}")]
    NotCanonical {
        column: String,
        found: String,
        wanted: String,
    },
    #[error("a batch of {bytes} bytes is too large: wanted at most {bytes_max}")]
    BatchTooLarge { bytes: usize, bytes_max: usize },
    #[error("an Arrow stream ended without the marker of its end: it was cut off")]
    CutOff,
    #[error("arrow: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
}
