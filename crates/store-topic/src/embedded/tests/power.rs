//! What is left when the power goes: only what a sync carried to the disk.

use super::*;

impl Bench {
    /// The folder as the end of the machine at this moment would leave it.
    fn after_power_loss(&self) -> TempDir {
        let left = tempfile::tempdir().unwrap();
        self.copy_durable(self.root.path(), left.path());
        left
    }

    fn copy_durable(&self, from: &Path, to: &Path) {
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                fs::create_dir(&to).unwrap();
                self.copy_durable(&entry.path(), &to);
            } else {
                let content = self.disk.faults.content_after_power_loss(&entry.path());
                fs::write(to, content).unwrap();
            }
        }
    }

    async fn labels_after_power_loss(&self) -> Vec<String> {
        let left = self.after_power_loss();
        let store = self.open_at(left.path()).await.unwrap();
        labels(&read_all(&store).await.unwrap())
    }
}

#[tokio::test]
async fn what_was_synced_survives_and_only_that() {
    let bench = Bench::with_segments(400);
    let store = bench.open_new().await;
    for label in ["a", "b", "c"] {
        store
            .append(TOPIC, vec![append_of(label, 3)])
            .await
            .unwrap();
    }
    store.sync(TOPIC).await.unwrap();
    store.append(TOPIC, vec![append_of("d", 1)]).await.unwrap();
    let left = bench.labels_after_power_loss().await;
    assert_eq!((left.len(), &*left[8]), (9, "c/2"));
}

#[tokio::test]
async fn what_a_killed_process_left_is_durable_once_opened_again() {
    let bench = Bench::new();
    let store = bench.open_new().await;
    store.append(TOPIC, vec![append_of("a", 1)]).await.unwrap();
    drop(store);
    let store = bench.open().await.unwrap();
    assert_eq!(bench.labels_after_power_loss().await, ["a/0"]);
    drop(store);
}

#[tokio::test]
async fn what_a_failed_sync_gave_up_is_written_again() {
    let bench = Bench::with_segments(16 << 20);
    let store = bench.open_new().await;
    store.append(TOPIC, vec![append_of("a", 1)]).await.unwrap();
    store.sync(TOPIC).await.unwrap();
    // Longer than what is written again at a time.
    let mut large = append_of("large", 1);
    large.records[0].value = Bytes::from(vec![7; 5 << 19]);
    store
        .append(TOPIC, vec![large, append_of("b", 1)])
        .await
        .unwrap();
    bench.disk.faults.sync_fails.store(true, Ordering::Relaxed);
    assert!(store.sync(TOPIC).await.is_err());
    bench.disk.faults.sync_fails.store(false, Ordering::Relaxed);
    assert_eq!(bench.labels_after_power_loss().await, ["a/0"]);
    drop(store);
    let store = bench.open().await.unwrap();
    assert_eq!(
        bench.labels_after_power_loss().await,
        ["a/0", "large/0", "b/0"]
    );
    drop(store);
}
