//! The SQLite backend keeps every guarantee of the port, and its file is guarded.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;
use twinfold_store_metadata::conformance::Place;
use twinfold_store_metadata::{
    Error, MetadataStore, SqliteMetadata, check, metadata_conformance, open,
};

struct Folder(TempDir);

impl Folder {
    fn fresh() -> Self {
        Self(TempDir::new().expect("a temporary folder"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("metadata.db")
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.file().display())
    }

    async fn number(&self, sql: &'static str) -> i64 {
        let url = format!("{}?mode=ro", self.url());
        let mut connection = SqliteConnection::connect(&url).await.expect("opens");
        let number = sqlx::query_scalar(sql).fetch_one(&mut connection).await;
        connection.close().await.expect("closes");
        number.expect(sql)
    }

    async fn execute(&self, sql: &'static str) {
        let url = format!("{}?mode=rw", self.url());
        let mut connection = SqliteConnection::connect(&url).await.expect("opens");
        sqlx::query(sql).execute(&mut connection).await.expect(sql);
        connection.close().await.expect("closes");
    }
}

#[async_trait]
impl Place for Folder {
    async fn open(&self) -> Arc<dyn MetadataStore> {
        let store = SqliteMetadata::open(&self.file()).await;
        Arc::new(store.expect("opens"))
    }
}

metadata_conformance!(Folder::fresh());

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused() {
    let folder = Folder::fresh();
    folder.open().await.close().await.expect("closes");
    folder
        .execute(
            "INSERT INTO _sqlx_migrations
                 (version, description, success, checksum, execution_time)
             VALUES (9000, 'later', TRUE, x'00', 0)",
        )
        .await;
    let error = open(&folder.url()).await.expect_err("newer");
    assert!(
        matches!(error, Error::NewerFormat { found: 9000, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn replayed_records_take_no_room() {
    let folder = Folder::fresh();
    twinfold_store_metadata::conformance::a_replayed_record_does_not_come_back(&folder).await;
    let bytes =
        "SELECT sum(length(record_key) + length(record_value) + length(headers) + length(reason))
                 FROM quarantine WHERE replayed_at_us IS NOT NULL";
    assert_eq!(folder.number(bytes).await, 0);
    let marks = "SELECT count(*) FROM quarantine WHERE replayed_at_us IS NOT NULL";
    assert_eq!(folder.number(marks).await, 2);
}

#[tokio::test]
async fn a_damaged_definition_is_named() {
    let folder = Folder::fresh();
    let store = folder.open().await;
    twinfold_store_metadata::conformance::a_feature_view_is_stored_as_it_is(&folder).await;
    folder
        .execute("UPDATE feature_views SET body = '{\"project\":1}'")
        .await;
    let error = store.views(None).await.expect_err("damaged").to_string();
    assert!(
        error.starts_with("stored feature view `default.fares_2` cannot be read: "),
        "{error}"
    );
}

#[tokio::test]
async fn urls_of_other_backends_and_folders_that_do_not_exist_are_refused() {
    let error = open("mysql://me:secret@host/db").await;
    let error = error.expect_err("unsupported");
    assert!(
        matches!(&error, Error::UnsupportedUrl { scheme } if scheme == "mysql"),
        "{error}"
    );
    assert!(!error.to_string().contains("secret"), "{error}");
    let error = open("sqlite:///nowhere/at/all/metadata.db").await;
    let error = error.expect_err("no such folder").to_string();
    assert!(
        error.starts_with("/nowhere/at/all/metadata.db cannot be opened: "),
        "{error}"
    );
}

#[test]
fn a_url_is_checked_without_asking_anybody() {
    for url in ["sqlite:///metadata.db", "postgres://me@nowhere:1/db"] {
        check(url).expect(url);
    }
    for url in [
        "mysql://me:secret@host/db",
        "postgres://me:secret@host:many/db",
    ] {
        let error = check(url).expect_err(url).to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
