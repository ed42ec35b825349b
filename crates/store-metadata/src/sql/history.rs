use sqlx::Pool;

use super::Database;
use crate::Result;
use crate::migrations::{Step, migrator, refuse_newer};

/// Brings the database to the newest tables; refuses one that is newer than all we know.
///
/// `count_histories` counts the tables in which sqlx notes migrations, 0 or 1; `statements` picks those
/// of this database.
pub(crate) async fn migrate(
    pool: &Pool<Database>,
    place: &str,
    count_histories: &'static str,
    statements: fn(&Step) -> &'static str,
) -> Result<()> {
    let histories: i64 = sqlx::query_scalar(count_histories).fetch_one(pool).await?;
    if histories > 0 {
        let newest: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
            .fetch_one(pool)
            .await?;
        refuse_newer(place, newest.unwrap_or_default())?;
    }
    Ok(migrator(statements).run(pool).await?)
}
