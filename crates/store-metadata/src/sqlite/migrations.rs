//! The history of the schema. Files are named here one by one: the macro that finds them in their
//! folder would have cargo compile SQLite a second time, for itself.

use std::path::Path;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqlitePool;

use crate::{Error, Result};

/// Version, name and statements, in order; what was released is never changed.
const FILES: &[(i64, &str, &str)] = &[(
    1,
    "metadata",
    include_str!("../../migrations/sqlite/0001_metadata.sql"),
)];

fn migrator() -> Migrator {
    let migrations = FILES.iter().map(|(version, name, sql)| {
        let (name, sql) = ((*name).into(), sql.into_sql_str());
        Migration::new(*version, name, MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// Brings the file to the newest schema; refuses one that is newer than all we know.
pub(super) async fn run(writer: &SqlitePool, path: &Path) -> Result<()> {
    let supported = FILES.last().map_or(0, |(version, ..)| *version);
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'")
            .fetch_one(writer)
            .await?;
    if tables > 0 {
        let found: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
            .fetch_one(writer)
            .await?;
        if let Some(found) = found.filter(|found| *found > supported) {
            return Err(Error::NewerFormat {
                path: path.to_owned(),
                found,
                supported,
            });
        }
    }
    Ok(migrator().run(writer).await?)
}
