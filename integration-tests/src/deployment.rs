use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use twinfold_client::Platform;
use twinfold_embedded::{Config, Options};
use twinfold_store_topic::{Append, Appended};

/// A platform that can be stopped and started again on the same data.
pub struct Deployment {
    folder: TempDir,
    configure: fn(&mut Config),
    platform: Arc<dyn Platform>,
}

impl Deployment {
    pub async fn embedded() -> Self {
        Self::embedded_with(|_| ()).await
    }

    /// With settings other than the defaults.
    pub async fn embedded_with(configure: fn(&mut Config)) -> Self {
        let folder = twinfold_testkit::temp_dir();
        let platform = open(folder.path(), configure).await;
        Self {
            folder,
            configure,
            platform,
        }
    }

    pub fn platform(&self) -> &dyn Platform {
        self.platform.as_ref()
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// An orderly end and a new start.
    pub async fn restart(&mut self) {
        self.restart_with(self.configure).await;
    }

    /// The same with other settings from now on.
    pub async fn restart_with(&mut self, configure: fn(&mut Config)) {
        self.configure = configure;
        self.platform.close().await.expect("close");
        self.platform = open(self.folder.path(), configure).await;
    }

    /// Appends what no writer of ours would: as a foreign producer does, past every check.
    pub async fn append_raw(&mut self, topic: &str, appends: Vec<Append>) -> Vec<Appended> {
        self.platform.close().await.expect("close");
        let url = format!("file://{}", self.folder.path().join("topic").display());
        let topics = twinfold_store_topic::open(&url).await.expect("topic");
        let appended = topics.append(topic, appends).await.expect("append");
        topics.sync(topic).await.expect("sync");
        topics.close().await.expect("close topic");
        drop(topics);
        self.platform = open(self.folder.path(), self.configure).await;
        appended
    }
}

async fn open(folder: &Path, configure: fn(&mut Config)) -> Arc<dyn Platform> {
    let mut options = Options::from_env().expect("options");
    configure(&mut options.config);
    twinfold_embedded::open(folder, options)
        .await
        .expect("open")
}
