//! Every backend that needs no server, put through the cases of the port.

use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;
use twinfold_store_online::conformance::{Expiry, Place};
use twinfold_store_online::{EmbeddedOnline, EmbeddedOptions, OnlineStore, open};

/// A folder, opened by its URL as a user would.
#[derive(Debug)]
struct Folder(TempDir);

#[async_trait]
impl Place for Folder {
    async fn open(&self) -> Arc<dyn OnlineStore> {
        let url = format!("file://{}", self.0.path().display());
        open(&url).await.expect("open")
    }

    fn expiry(&self) -> Expiry {
        Expiry::RowsAndDeletes
    }
}

/// The same with segments of a few rows, so that every case also seals and compacts.
#[derive(Debug)]
struct TinySegments(TempDir);

#[async_trait]
impl Place for TinySegments {
    async fn open(&self) -> Arc<dyn OnlineStore> {
        let options = EmbeddedOptions {
            segment_bytes_max: 2_000,
            segment_records_max: 50,
        };
        let store = EmbeddedOnline::open_with(self.0.path(), options).await;
        Arc::new(store.expect("open"))
    }

    fn expiry(&self) -> Expiry {
        Expiry::RowsAndDeletes
    }
}

mod embedded {
    use super::Folder;

    async fn place() -> Folder {
        Folder(tempfile::tempdir().expect("folder"))
    }

    twinfold_store_online::online_store_conformance!(place());
}

mod embedded_with_tiny_segments {
    use super::TinySegments;

    async fn place() -> TinySegments {
        TinySegments(tempfile::tempdir().expect("folder"))
    }

    twinfold_store_online::online_store_conformance!(place());
}
