use sqlx::Row as _;
use twinfold_model::{FeatureGroupId, SchemaId};

use super::{Connection, Row};
use crate::columns::number;
use crate::{Error, Result, SchemaRecord};

/// The id of the group's schema with this text, which gets one when it is new.
pub(super) async fn register(
    transaction: &mut Connection,
    group_row: i64,
    avro_json: &str,
) -> Result<SchemaId> {
    let known: Option<i64> =
        sqlx::query_scalar("SELECT id FROM schemas WHERE group_id = $1 AND avro_json = $2")
            .bind(group_row)
            .bind(avro_json)
            .fetch_optional(&mut *transaction)
            .await?;
    let id = match known {
        Some(id) => id,
        None => {
            sqlx::query_scalar(
                "INSERT INTO schemas (group_id, avro_json) VALUES ($1, $2) RETURNING id",
            )
            .bind(group_row)
            .bind(avro_json)
            .fetch_one(transaction)
            .await?
        }
    };
    Ok(SchemaId(number("schema", id)?))
}

pub(super) async fn find(
    connection: &mut Connection,
    id: SchemaId,
) -> Result<Option<SchemaRecord>> {
    sqlx::query(
        "SELECT s.id, s.avro_json, g.project, g.name, g.version
         FROM schemas s JOIN feature_groups g ON g.id = s.group_id WHERE s.id = $1",
    )
    .bind(i64::from(id.0))
    .fetch_optional(connection)
    .await?
    .as_ref()
    .map(schema)
    .transpose()
}

pub(super) async fn of_group(
    connection: &mut Connection,
    id: &FeatureGroupId,
) -> Result<Vec<SchemaRecord>> {
    sqlx::query(
        "SELECT s.id, s.avro_json, g.project, g.name, g.version
         FROM schemas s JOIN feature_groups g ON g.id = s.group_id
         WHERE g.project = $1 AND g.name = $2 AND g.version = $3 ORDER BY s.id",
    )
    .bind(id.project.as_str())
    .bind(id.name.as_str())
    .bind(i64::from(id.version))
    .fetch_all(connection)
    .await?
    .iter()
    .map(schema)
    .collect()
}

fn schema(row: &Row) -> Result<SchemaRecord> {
    let id = number("schema", row.try_get("id")?)?;
    let version = number("feature group version", row.try_get("version")?)?;
    Ok(SchemaRecord {
        id: SchemaId(id),
        group: FeatureGroupId::new(row.try_get("project")?, row.try_get("name")?, version)
            .map_err(|error| Error::Corrupt {
                what: "schema",
                name: id.to_string(),
                reason: error.to_string(),
            })?,
        avro_json: row.try_get("avro_json")?,
    })
}
