//! Errors of the stores as errors of the platform.

use twinfold_client::Error;

pub fn online_failed(error: twinfold_store_online::Error) -> Error {
    use twinfold_store_online::Error as Online;
    match error {
        Online::Closed => Error::Closed,
        other => Error::dependency("online store", other.retry(), other),
    }
}

pub fn offline_failed(error: twinfold_store_offline::Error) -> Error {
    Error::dependency("history", error.retry(), error)
}

pub fn metadata_failed(error: twinfold_store_metadata::Error) -> Error {
    Error::dependency("metadata", error.retry(), error)
}
