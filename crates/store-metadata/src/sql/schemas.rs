use async_trait::async_trait;
use sqlx::Row as _;
use twinfold_model::SchemaId;
use twinfold_wire::record::{key_subject, topic_of_value_subject, value_subject};

use super::{Connection, Row, Store, subject_settings};
use crate::columns::number;
use crate::{
    Error, NewSchema, Result, SchemaOrigin, SchemaRecord, SchemaVersion, Schemas, SubjectRecord,
    SubjectSettings, VersionsOf,
};

macro_rules! select_versions {
    ($condition:literal) => {
        concat!(
            "SELECT v.subject, v.version, v.origin, v.deleted, s.id, s.guid, s.avro_json, s.metadata
             FROM schema_versions v JOIN schemas s ON s.id = v.schema_id ",
            $condition,
            " ORDER BY v.subject, v.version"
        )
    };
}

/// A schema that no subject has any more is kept for its id alone.
macro_rules! select_schemas {
    ($condition:literal) => {
        concat!(
            "SELECT s.id, s.guid, s.avro_json, s.metadata FROM schemas s WHERE ",
            $condition,
            " AND EXISTS (SELECT 1 FROM schema_versions v WHERE v.schema_id = s.id)"
        )
    };
}

#[async_trait]
impl Schemas for Store {
    async fn schema(&self, id: SchemaId) -> Result<Option<SchemaRecord>> {
        sqlx::query(select_schemas!("s.id = $1"))
            .bind(i64::from(id.0))
            .fetch_optional(&mut *self.read().await?)
            .await?
            .as_ref()
            .map(schema)
            .transpose()
    }

    async fn schema_of_guid(&self, guid: &str) -> Result<Option<SchemaRecord>> {
        sqlx::query(select_schemas!("s.guid = $1"))
            .bind(guid)
            .fetch_optional(&mut *self.read().await?)
            .await?
            .as_ref()
            .map(schema)
            .transpose()
    }

    async fn newest_schema(&self) -> Result<SchemaId> {
        let newest = newest(&mut *self.read().await?).await?;
        Ok(SchemaId(number("schema", newest)?))
    }

    async fn subjects(&self) -> Result<Vec<SubjectRecord>> {
        let rows = sqlx::query(
            "SELECT subject, min(deleted) AS deleted FROM schema_versions
             GROUP BY subject ORDER BY subject",
        )
        .fetch_all(&mut *self.read().await?)
        .await?;
        rows.iter().map(subject).collect()
    }

    async fn versions(&self, of: VersionsOf<'_>) -> Result<Vec<SchemaVersion>> {
        let mut connection = self.read().await?;
        match of {
            VersionsOf::Subject(subject) => of_subject(&mut connection, subject).await,
            VersionsOf::Schema(id) => {
                let rows = sqlx::query(select_versions!("WHERE v.schema_id = $1"))
                    .bind(i64::from(id.0))
                    .fetch_all(&mut *connection)
                    .await?;
                rows.iter().map(version).collect()
            }
            VersionsOf::All => {
                let rows = sqlx::query(select_versions!(""))
                    .fetch_all(&mut *connection)
                    .await?;
                rows.iter().map(version).collect()
            }
        }
    }

    async fn register_version(
        &self,
        subject: &str,
        schema: &NewSchema,
        after: u32,
    ) -> Result<SchemaVersion> {
        let mut transaction = self.write().await?;
        let known = of_subject(&mut transaction, subject).await?;
        let newest = known.last().map_or(0, |version| version.version);
        if newest != after {
            return Err(Error::StaleVersion {
                subject: subject.to_owned(),
                found: newest,
                wanted: after,
            });
        }
        let registered = append(
            &mut transaction,
            subject,
            schema,
            SchemaOrigin::Producer,
            &known,
        );
        let registered = registered.await?;
        // Whoever changes the group meanwhile has not seen this schema.
        if let Some(topic) = topic_of_value_subject(subject) {
            sqlx::query("UPDATE feature_groups SET revision = revision + 1 WHERE resource = $1")
                .bind(topic)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(registered)
    }

    async fn delete_versions(&self, subject: &str, versions: &[u32]) -> Result<()> {
        let mut transaction = self.write().await?;
        for version in versions {
            sqlx::query(
                "UPDATE schema_versions SET deleted = 1 WHERE subject = $1 AND version = $2",
            )
            .bind(subject)
            .bind(i64::from(*version))
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn remove_versions(&self, subject: &str, versions: &[u32]) -> Result<()> {
        let mut transaction = self.write().await?;
        for version in versions {
            sqlx::query(
                "DELETE FROM schema_versions
                 WHERE subject = $1 AND version = $2 AND deleted = 1",
            )
            .bind(subject)
            .bind(i64::from(*version))
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn subject_settings(&self, scope: &str) -> Result<SubjectSettings> {
        subject_settings::find(&mut *self.read().await?, scope).await
    }

    async fn set_compatibility(&self, scope: &str, level: Option<&str>) -> Result<()> {
        let mut transaction = self.write().await?;
        subject_settings::set_compatibility(&mut transaction, scope, level).await?;
        Ok(transaction.commit().await?)
    }

    async fn set_mode(&self, scope: &str, mode: Option<&str>) -> Result<()> {
        let mut transaction = self.write().await?;
        subject_settings::set_mode(&mut transaction, scope, mode).await?;
        Ok(transaction.commit().await?)
    }
}

/// Gives a group's own schema its place among the versions of the group's subject.
pub(super) async fn register_own(
    transaction: &mut Connection,
    resource: &str,
    schema: &NewSchema,
) -> Result<SchemaId> {
    let subject = value_subject(resource);
    let known = of_subject(transaction, &subject).await?;
    let registered = append(
        transaction,
        &subject,
        schema,
        SchemaOrigin::FeatureGroup,
        &known,
    );
    Ok(registered.await?.schema.id)
}

/// Removes what stands under the subjects of a group that goes; the names are not given again.
pub(super) async fn remove_subjects(transaction: &mut Connection, resource: &str) -> Result<()> {
    for subject in [value_subject(resource), key_subject(resource)] {
        sqlx::query("DELETE FROM schema_versions WHERE subject = $1")
            .bind(subject.as_str())
            .execute(&mut *transaction)
            .await?;
        subject_settings::forget(&mut *transaction, &subject).await?;
    }
    Ok(())
}

async fn of_subject(connection: &mut Connection, subject: &str) -> Result<Vec<SchemaVersion>> {
    let rows = sqlx::query(select_versions!("WHERE v.subject = $1"))
        .bind(subject)
        .fetch_all(connection)
        .await?;
    rows.iter().map(version).collect()
}

/// The version that has the schema already, unless it was deleted; else a new one after all `known`.
async fn append(
    transaction: &mut Connection,
    subject: &str,
    schema: &NewSchema,
    origin: SchemaOrigin,
    known: &[SchemaVersion],
) -> Result<SchemaVersion> {
    schema.require_subject(subject)?;
    let schema = intern(transaction, schema).await?;
    let same = known
        .iter()
        .find(|version| version.schema.id == schema.id && !version.is_deleted);
    let version = match same {
        Some(same) if same.origin == origin || same.origin == SchemaOrigin::FeatureGroup => {
            return Ok(same.clone());
        }
        Some(same) => same.version,
        None => known.last().map_or(0, |version| version.version) + 1,
    };
    sqlx::query(
        "INSERT INTO schema_versions (subject, version, schema_id, origin, deleted)
         VALUES ($1, $2, $3, $4, 0)
         ON CONFLICT (subject, version) DO UPDATE SET origin = excluded.origin",
    )
    .bind(subject)
    .bind(i64::from(version))
    .bind(i64::from(schema.id.0))
    .bind(origin_column(origin))
    .execute(transaction)
    .await?;
    Ok(SchemaVersion {
        subject: subject.to_owned(),
        version,
        schema,
        origin,
        is_deleted: false,
    })
}

/// The schema with this guid, which gets an id when it is new and does not bring one.
async fn intern(transaction: &mut Connection, new: &NewSchema) -> Result<SchemaRecord> {
    let given = new.registration.as_ref().map(|given| given.id);
    let known = sqlx::query(
        "SELECT s.id, s.guid, s.avro_json, s.metadata FROM schemas s
         WHERE s.guid = $1 OR s.id = $2",
    )
    .bind(new.guid.as_str())
    .bind(given.map(|id| i64::from(id.0)))
    .fetch_optional(&mut *transaction)
    .await?;
    if let Some(row) = known {
        return new.require_same(schema(&row)?);
    }
    let id = match given {
        Some(id) => i64::from(id.0),
        None => newest(&mut *transaction).await? + 1,
    };
    sqlx::query("INSERT INTO schemas (id, guid, avro_json, metadata) VALUES ($1, $2, $3, $4)")
        .bind(id)
        .bind(new.guid.as_str())
        .bind(new.avro_json.as_str())
        .bind(new.metadata.as_deref())
        .execute(transaction)
        .await?;
    Ok(SchemaRecord {
        id: SchemaId(number("schema", id)?),
        guid: new.guid.clone(),
        avro_json: new.avro_json.clone(),
        metadata: new.metadata.clone(),
    })
}

/// The greatest id. Schemas are never removed, and there is one writer at a time: what follows it is free.
async fn newest(connection: &mut Connection) -> Result<i64> {
    let newest = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM schemas");
    Ok(newest.fetch_one(connection).await?)
}

fn subject(row: &Row) -> Result<SubjectRecord> {
    Ok(SubjectRecord {
        name: row.try_get("subject")?,
        is_deleted: row.try_get::<i64, _>("deleted")? != 0,
    })
}

fn version(row: &Row) -> Result<SchemaVersion> {
    Ok(SchemaVersion {
        subject: row.try_get("subject")?,
        version: number("schema version", row.try_get("version")?)?,
        schema: schema(row)?,
        origin: match row.try_get::<&str, _>("origin")? {
            "feature_group" => SchemaOrigin::FeatureGroup,
            _ => SchemaOrigin::Producer,
        },
        is_deleted: row.try_get::<i64, _>("deleted")? != 0,
    })
}

fn origin_column(origin: SchemaOrigin) -> &'static str {
    match origin {
        SchemaOrigin::FeatureGroup => "feature_group",
        SchemaOrigin::Producer => "producer",
    }
}

fn schema(row: &Row) -> Result<SchemaRecord> {
    Ok(SchemaRecord {
        id: SchemaId(number("schema", row.try_get("id")?)?),
        guid: row.try_get("guid")?,
        avro_json: row.try_get("avro_json")?,
        metadata: row.try_get("metadata")?,
    })
}
