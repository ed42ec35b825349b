//! The history of the tables. Files are named here one by one: the macro that finds them in their folder
//! would have cargo compile SQLite a second time, for itself.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use crate::{Error, Result};

/// One step of the history. It has its statements for every database, so that the histories of two
/// databases cannot drift apart.
pub(crate) struct Step {
    version: i64,
    name: &'static str,
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

/// In order; what was released is never changed.
const STEPS: &[Step] = &[
    Step {
        version: 1,
        name: "metadata",
        sqlite: include_str!("../migrations/sqlite/0001_metadata.sql"),
        postgres: include_str!("../migrations/postgres/0001_metadata.sql"),
    },
    Step {
        version: 2,
        name: "control plane",
        sqlite: include_str!("../migrations/sqlite/0002_control_plane.sql"),
        postgres: include_str!("../migrations/postgres/0002_control_plane.sql"),
    },
    Step {
        version: 3,
        name: "given schema ids",
        sqlite: include_str!("../migrations/sqlite/0003_given_schema_ids.sql"),
        postgres: include_str!("../migrations/postgres/0003_given_schema_ids.sql"),
    },
];

/// The history in the statements of one database, which `statements` picks.
pub(crate) fn migrator(statements: fn(&Step) -> &'static str) -> Migrator {
    let migrations = STEPS.iter().map(|step| {
        let (name, sql) = (step.name.into(), statements(step).into_sql_str());
        Migration::new(step.version, name, MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// Refuses a database whose newest migration is newer than all we know.
pub(crate) fn refuse_newer(place: &str, found: i64) -> Result<()> {
    let supported = STEPS.last().map_or(0, |step| step.version);
    if found <= supported {
        return Ok(());
    }
    Err(Error::NewerFormat {
        place: place.to_owned(),
        found,
        supported,
    })
}
