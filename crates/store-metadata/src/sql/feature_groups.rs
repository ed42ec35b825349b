use async_trait::async_trait;
use sqlx::Row as _;
use twinfold_model::{
    EventTime, FeatureGroup, FeatureGroupId, ProjectName, ResourceState, SchemaId,
};
use twinfold_wire::rest::FeatureGroupBody;

use super::{Connection, Row, Store, changes, schemas};
use crate::columns::{from_json, integer, number, state, state_columns, to_json};
use crate::{ChangeSubject, Error, FeatureGroups, GroupRecord, NewSchema, Result};

const WHAT: &str = "feature group";

macro_rules! select_groups {
    ($condition:literal) => {
        concat!(
            "SELECT id, project, name, version, body, state, state_reason, resource, schema_id,
                    revision, created_at_us
             FROM feature_groups ",
            $condition
        )
    };
}

#[async_trait]
impl FeatureGroups for Store {
    async fn next_resource(&self, id: &FeatureGroupId) -> Result<String> {
        let row = sqlx::query(
            "SELECT
                 (SELECT lives FROM feature_group_lives
                  WHERE project = $1 AND name = $2 AND version = $3) AS lives,
                 (SELECT id FROM feature_groups
                  WHERE project = $1 AND name = $2 AND version = $3) AS existing",
        )
        .bind(id.project.as_str())
        .bind(id.name.as_str())
        .bind(i64::from(id.version))
        .fetch_one(&mut *self.read().await?)
        .await?;
        if row.try_get::<Option<i64>, _>("existing")?.is_some() {
            return Err(already_exists(id));
        }
        let lives = row.try_get::<Option<i64>, _>("lives")?.unwrap_or(0);
        Ok(id.resource_name(number("lives of a feature group", lives + 1)?))
    }

    async fn create_group(
        &self,
        group: &FeatureGroup,
        schema: &NewSchema,
        at: EventTime,
    ) -> Result<GroupRecord> {
        let id = group.id();
        let mut transaction = self.write().await?;
        if find(&mut transaction, id).await?.is_some() {
            return Err(already_exists(id));
        }
        let resource = id.resource_name(begin_life(&mut transaction, id).await?);
        let schema = schemas::register_own(&mut transaction, &resource, schema).await?;
        sqlx::query(
            "INSERT INTO feature_groups
                 (project, name, version, body, state, resource, schema_id, revision, created_at_us)
             VALUES ($1, $2, $3, $4, 'creating', $5, $6, 1, $7)",
        )
        .bind(id.project.as_str())
        .bind(id.name.as_str())
        .bind(i64::from(id.version))
        .bind(to_json(&FeatureGroupBody::from(group)))
        .bind(resource.as_str())
        .bind(i64::from(schema.0))
        .bind(at.micros())
        .execute(&mut *transaction)
        .await?;
        let change = ChangeSubject::FeatureGroup(id.clone());
        changes::record(&mut transaction, &change).await?;
        transaction.commit().await?;
        Ok(GroupRecord {
            group: group.clone(),
            state: ResourceState::Creating,
            resource,
            schema,
            revision: 1,
            created_at: at,
        })
    }

    async fn group(&self, id: &FeatureGroupId) -> Result<Option<GroupRecord>> {
        let stored = find(&mut *self.read().await?, id).await?;
        Ok(stored.map(|stored| stored.record))
    }

    async fn group_of_topic(&self, resource: &str) -> Result<Option<GroupRecord>> {
        sqlx::query(select_groups!("WHERE resource = $1"))
            .bind(resource)
            .fetch_optional(&mut *self.read().await?)
            .await?
            .map(|row| decode(&row).map(|stored| stored.record))
            .transpose()
    }

    async fn groups(&self, project: Option<&ProjectName>) -> Result<Vec<GroupRecord>> {
        sqlx::query(select_groups!(
            "WHERE $1 IS NULL OR project = $1 ORDER BY project, name, version"
        ))
        .bind(project.map(ProjectName::as_str))
        .fetch_all(&mut *self.read().await?)
        .await?
        .iter()
        .map(|row| decode(row).map(|stored| stored.record))
        .collect()
    }

    async fn update_group(
        &self,
        group: &FeatureGroup,
        schema: &NewSchema,
        revision: u64,
    ) -> Result<GroupRecord> {
        let id = group.id();
        let mut transaction = self.write().await?;
        let StoredGroup { row, mut record } = get(&mut transaction, id).await?;
        record.require_revision(revision)?;
        record.require_state("not deleting", |state| *state != ResourceState::Deleting)?;
        let schema = schemas::register_own(&mut transaction, &record.resource, schema).await?;
        if schema != record.schema {
            record.state = ResourceState::Creating;
        }
        record.group = group.clone();
        record.schema = schema;
        record.revision += 1;
        let (state, reason) = state_columns(&record.state);
        sqlx::query(
            "UPDATE feature_groups
             SET body = $1, state = $2, state_reason = $3, schema_id = $4, revision = $5
             WHERE id = $6",
        )
        .bind(to_json(&FeatureGroupBody::from(group)))
        .bind(state)
        .bind(reason)
        .bind(i64::from(schema.0))
        .bind(integer("revision", record.revision)?)
        .bind(row)
        .execute(&mut *transaction)
        .await?;
        let change = ChangeSubject::FeatureGroup(id.clone());
        changes::record(&mut transaction, &change).await?;
        transaction.commit().await?;
        Ok(record)
    }

    async fn set_group_state(
        &self,
        id: &FeatureGroupId,
        state: &ResourceState,
        revision: u64,
    ) -> Result<()> {
        let mut transaction = self.write().await?;
        let StoredGroup { row, record } = get(&mut transaction, id).await?;
        if record.state == *state {
            return Ok(());
        }
        record.require_state("not deleting", |found| *found != ResourceState::Deleting)?;
        record.require_revision(revision)?;
        put_state(&mut transaction, row, id, state).await?;
        Ok(transaction.commit().await?)
    }

    async fn begin_deletion(&self, id: &FeatureGroupId, sequence: Option<u64>) -> Result<()> {
        let mut transaction = self.write().await?;
        let StoredGroup { row, record } = get(&mut transaction, id).await?;
        if record.state == ResourceState::Deleting {
            return Ok(());
        }
        if let Some(wanted) = sequence {
            let found = changes::newest(&mut transaction).await?;
            if found != wanted {
                return Err(Error::StaleFeed { found, wanted });
            }
        }
        put_state(&mut transaction, row, id, &ResourceState::Deleting).await?;
        Ok(transaction.commit().await?)
    }

    async fn remove_group(&self, id: &FeatureGroupId) -> Result<()> {
        let mut transaction = self.write().await?;
        let StoredGroup { row, record } = get(&mut transaction, id).await?;
        record.require_state("deleting", |state| *state == ResourceState::Deleting)?;
        schemas::remove_subjects(&mut transaction, &record.resource).await?;
        // The quarantine goes with it: ON DELETE CASCADE.
        sqlx::query("DELETE FROM feature_groups WHERE id = $1")
            .bind(row)
            .execute(&mut *transaction)
            .await?;
        let change = ChangeSubject::FeatureGroup(id.clone());
        changes::record(&mut transaction, &change).await?;
        Ok(transaction.commit().await?)
    }
}

/// The row of the group's present life, which `quarantine` and `replays` refer to: no other life has the same.
pub(super) async fn row_of(connection: &mut Connection, id: &FeatureGroupId) -> Result<i64> {
    Ok(life_of(connection, id).await?.0)
}

/// The same, if that is the life whose topic and tables are named `resource`.
pub(super) async fn row_of_life(
    connection: &mut Connection,
    id: &FeatureGroupId,
    resource: &str,
) -> Result<i64> {
    let (row, found) = life_of(connection, id).await?;
    if found == resource {
        return Ok(row);
    }
    Err(Error::NotFound {
        what: "topic",
        name: resource.to_owned(),
    })
}

/// The row of the present life, and what its topic and tables are named.
async fn life_of(connection: &mut Connection, id: &FeatureGroupId) -> Result<(i64, String)> {
    sqlx::query_as(
        "SELECT id, resource FROM feature_groups
         WHERE project = $1 AND name = $2 AND version = $3",
    )
    .bind(id.project.as_str())
    .bind(id.name.as_str())
    .bind(i64::from(id.version))
    .fetch_optional(connection)
    .await?
    .ok_or_else(|| not_found(id))
}

/// Counts one more creation of a group with this id, and says how many there were.
async fn begin_life(connection: &mut Connection, id: &FeatureGroupId) -> Result<u32> {
    let lives = sqlx::query_scalar(
        "INSERT INTO feature_group_lives (project, name, version, lives) VALUES ($1, $2, $3, 1)
         ON CONFLICT (project, name, version)
         DO UPDATE SET lives = feature_group_lives.lives + 1 RETURNING lives",
    )
    .bind(id.project.as_str())
    .bind(id.name.as_str())
    .bind(i64::from(id.version))
    .fetch_one(connection)
    .await?;
    number("lives of a feature group", lives)
}

/// The group if something may begin to refer to it.
pub(super) async fn referable(
    connection: &mut Connection,
    id: &FeatureGroupId,
) -> Result<GroupRecord> {
    let StoredGroup { record, .. } = get(connection, id).await?;
    record.require_state("not deleting", |state| *state != ResourceState::Deleting)?;
    Ok(record)
}

async fn put_state(
    connection: &mut Connection,
    row: i64,
    id: &FeatureGroupId,
    state: &ResourceState,
) -> Result<()> {
    let (name, reason) = state_columns(state);
    sqlx::query("UPDATE feature_groups SET state = $1, state_reason = $2 WHERE id = $3")
        .bind(name)
        .bind(reason)
        .bind(row)
        .execute(&mut *connection)
        .await?;
    changes::record(connection, &ChangeSubject::FeatureGroup(id.clone())).await
}

struct StoredGroup {
    row: i64,
    record: GroupRecord,
}

async fn find(connection: &mut Connection, id: &FeatureGroupId) -> Result<Option<StoredGroup>> {
    sqlx::query(select_groups!(
        "WHERE project = $1 AND name = $2 AND version = $3"
    ))
    .bind(id.project.as_str())
    .bind(id.name.as_str())
    .bind(i64::from(id.version))
    .fetch_optional(connection)
    .await?
    .as_ref()
    .map(decode)
    .transpose()
}

async fn get(connection: &mut Connection, id: &FeatureGroupId) -> Result<StoredGroup> {
    find(connection, id).await?.ok_or_else(|| not_found(id))
}

fn already_exists(id: &FeatureGroupId) -> Error {
    Error::AlreadyExists {
        what: WHAT,
        name: id.to_string(),
    }
}

fn not_found(id: &FeatureGroupId) -> Error {
    Error::NotFound {
        what: WHAT,
        name: id.to_string(),
    }
}

fn decode(row: &Row) -> Result<StoredGroup> {
    let (project, name): (&str, &str) = (row.try_get("project")?, row.try_get("name")?);
    let version: i64 = row.try_get("version")?;
    let name = format!("{project}.{name}_{version}");
    let group: FeatureGroup = from_json::<FeatureGroupBody, _>(WHAT, &name, row.try_get("body")?)?;
    let state = state(row.try_get("state")?, row.try_get("state_reason")?);
    Ok(StoredGroup {
        row: row.try_get("id")?,
        record: GroupRecord {
            group,
            state,
            resource: row.try_get("resource")?,
            schema: SchemaId(number("schema", row.try_get("schema_id")?)?),
            revision: number("revision", row.try_get("revision")?)?,
            created_at: EventTime::from_micros(row.try_get("created_at_us")?),
        },
    })
}
