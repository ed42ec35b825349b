use sqlx::Row as _;

use super::Connection;
use crate::{Result, SubjectSettings};

pub(super) async fn find(connection: &mut Connection, scope: &str) -> Result<SubjectSettings> {
    let row = sqlx::query("SELECT compatibility, mode FROM subject_settings WHERE scope = $1")
        .bind(scope)
        .fetch_optional(connection)
        .await?;
    match row {
        None => Ok(SubjectSettings::default()),
        Some(row) => Ok(SubjectSettings {
            compatibility: row.try_get("compatibility")?,
            mode: row.try_get("mode")?,
        }),
    }
}

pub(super) async fn set_compatibility(
    transaction: &mut Connection,
    scope: &str,
    level: Option<&str>,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO subject_settings (scope, compatibility) VALUES ($1, $2)
         ON CONFLICT (scope) DO UPDATE SET compatibility = excluded.compatibility",
    )
    .bind(scope)
    .bind(level)
    .execute(transaction)
    .await?;
    Ok(())
}

pub(super) async fn set_mode(
    transaction: &mut Connection,
    scope: &str,
    mode: Option<&str>,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO subject_settings (scope, mode) VALUES ($1, $2)
         ON CONFLICT (scope) DO UPDATE SET mode = excluded.mode",
    )
    .bind(scope)
    .bind(mode)
    .execute(transaction)
    .await?;
    Ok(())
}

pub(super) async fn forget(transaction: &mut Connection, scope: &str) -> Result<()> {
    sqlx::query("DELETE FROM subject_settings WHERE scope = $1")
        .bind(scope)
        .execute(transaction)
        .await?;
    Ok(())
}
