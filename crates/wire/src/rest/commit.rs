use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use twinfold_model::{Commit, EventTime, Offset, PartitionId};

/// One commit of a history; `positions` is the next offset per partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommitBody {
    pub id: u64,
    pub committed_at_us: i64,
    pub rows_upserted: u64,
    pub rows_deleted: u64,
    pub bytes: u64,
    pub positions: BTreeMap<u32, u64>,
}

impl From<&Commit> for CommitBody {
    fn from(commit: &Commit) -> Self {
        Self {
            id: commit.id,
            committed_at_us: commit.committed_at.micros(),
            rows_upserted: commit.rows_upserted,
            rows_deleted: commit.rows_deleted,
            bytes: commit.bytes,
            positions: commit
                .positions
                .iter()
                .map(|(partition, next)| (partition.0, next.0))
                .collect(),
        }
    }
}

impl From<CommitBody> for Commit {
    fn from(body: CommitBody) -> Self {
        Self {
            id: body.id,
            committed_at: EventTime::from_micros(body.committed_at_us),
            rows_upserted: body.rows_upserted,
            rows_deleted: body.rows_deleted,
            bytes: body.bytes,
            positions: body
                .positions
                .into_iter()
                .map(|(partition, next)| (PartitionId(partition), Offset(next)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_readable() {
        let json = concat!(
            r#"{"id":4,"committed_at_us":9,"rows_upserted":2,"rows_deleted":1,"bytes":300,"#,
            r#""positions":{"0":12,"10":3}}"#
        );
        let body: CommitBody = serde_json::from_str(json).expect("readable");
        let commit = Commit::from(body);
        assert_eq!(commit.positions.get(PartitionId(10)), Some(Offset(3)));
        let written = serde_json::to_string(&CommitBody::from(&commit)).expect("serializable");
        assert_eq!(written, json);
    }
}
