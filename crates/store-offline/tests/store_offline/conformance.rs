//! `DeltaStore` on a local folder against the guarantees of the port.

use std::sync::Arc;

use twinfold_store_offline::{OfflineStore, offline_store_conformance, open};

async fn open_folder(folder: std::path::PathBuf) -> Arc<dyn OfflineStore> {
    let url = format!("file://{}", folder.display());
    open(&url).await.expect("a folder can be opened")
}

offline_store_conformance!({
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().to_owned();
    (async move || open_folder(path.clone()).await, folder)
});
