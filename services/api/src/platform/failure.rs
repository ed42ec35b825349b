//! Errors of the parts as errors of the platform.

use twinfold_client::Error;

pub fn offline_failed(error: twinfold_store_offline::Error) -> Error {
    use twinfold_store_offline::Error as Offline;
    match error {
        Offline::UnknownCommit { .. } | Offline::BeforeFirstCommit { .. } => {
            Error::Invalid(twinfold_model::Error::InvalidQuery {
                reason: error.to_string(),
            })
        }
        other => Error::dependency("history", other.retry(), other),
    }
}

pub fn training_failed(error: twinfold_training::Error) -> Error {
    use twinfold_training::Error as Training;
    match error {
        Training::Model(error) => Error::Invalid(error),
        Training::CsvType { .. } | Training::UnknownSplit { .. } => {
            Error::Invalid(twinfold_model::Error::InvalidQuery {
                reason: error.to_string(),
            })
        }
        other => Error::dependency("training", other.retry(), other),
    }
}
