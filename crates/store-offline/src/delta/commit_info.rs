//! What each commit says of itself in the log, beside Delta's own actions.
//!
//! The positions stand there in full and, for those that the commit moved, as `txn` actions: the
//! first are read back in one file, the second are what Delta's conflict check and other engines see.
//! Both are part of the same atomic write.

use deltalake_core::kernel::Transaction;
use deltalake_core::logstore::LogStore;
use serde_json::{Map, Value, json};
use twinfold_model::{Commit, EventTime, Offset, PartitionId, Positions};

use crate::{Error, Result};

const INFO_KEY: &str = "twinfold";

/// The entry of `commitInfo` that [`read`] reads back.
pub(super) fn entry(commit: &Commit) -> (String, Value) {
    let positions: Map<String, Value> = commit
        .positions
        .iter()
        .map(|(partition, next)| (partition.0.to_string(), json!(next.0)))
        .collect();
    let info = json!({
        "committedAt": commit.committed_at.micros(),
        "rowsUpserted": commit.rows_upserted,
        "rowsDeleted": commit.rows_deleted,
        "bytes": commit.bytes,
        "positions": positions,
    });
    (INFO_KEY.to_owned(), info)
}

/// One `txn` action per partition. Its version is the first offset that the table does not contain.
pub(super) fn transactions(table: &str, moved: &Positions) -> Result<Vec<Transaction>> {
    moved
        .iter()
        .map(|(partition, next)| {
            let version = i64::try_from(next.0).map_err(|_| Error::SchemaMismatch {
                table: table.to_owned(),
                reason: format!(
                    "offset {} of partition {} is too large",
                    next.0, partition.0
                ),
            })?;
            Ok(Transaction::new(application(table, partition), version))
        })
        .collect()
}

pub(super) fn application(table: &str, partition: PartitionId) -> String {
    format!("twinfold/{table}/{}", partition.0)
}

/// A commit as the log tells it.
pub(super) struct Logged {
    pub(super) commit: Commit,
    /// False when another engine made it: it then tells no positions.
    pub(super) is_ours: bool,
}

pub(super) async fn read(table: &str, log: &dyn LogStore, id: u64) -> Result<Logged> {
    let corrupt = |reason: &str| Error::CorruptCommit {
        table: table.to_owned(),
        commit: id,
        reason: reason.to_owned(),
    };
    let bytes = log
        .read_commit_entry(id)
        .await
        .map_err(|source| Error::Delta {
            table: table.to_owned(),
            source,
        })?
        .ok_or_else(|| corrupt("its file in the log is gone"))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| corrupt(&error.to_string()))?;
    let mut info = None;
    // The other lines, one for each file, are not worth parsing.
    for line in text.lines().filter(|line| line.contains("\"commitInfo\"")) {
        let mut action: Value =
            serde_json::from_str(line).map_err(|error| corrupt(&error.to_string()))?;
        info = info.or(action.get_mut("commitInfo").map(Value::take));
    }
    let info = info.ok_or_else(|| corrupt("it has no commitInfo"))?;
    parse(id, &info).ok_or_else(|| corrupt("its commitInfo is not understood"))
}

fn parse(id: u64, info: &Value) -> Option<Logged> {
    let Some(ours) = info.get(INFO_KEY) else {
        let committed_ms = info.get("timestamp")?.as_i64()?;
        let commit = Commit {
            id,
            committed_at: EventTime::from_micros(committed_ms.checked_mul(1000)?),
            rows_upserted: 0,
            rows_deleted: 0,
            bytes: 0,
            positions: Positions::new(),
        };
        return Some(Logged {
            commit,
            is_ours: false,
        });
    };
    let positions = ours
        .get("positions")?
        .as_object()?
        .iter()
        .map(|(partition, next)| {
            Some((PartitionId(partition.parse().ok()?), Offset(next.as_u64()?)))
        })
        .collect::<Option<Positions>>()?;
    let commit = Commit {
        id,
        committed_at: EventTime::from_micros(ours.get("committedAt")?.as_i64()?),
        rows_upserted: ours.get("rowsUpserted")?.as_u64()?,
        rows_deleted: ours.get("rowsDeleted")?.as_u64()?,
        bytes: ours.get("bytes")?.as_u64()?,
        positions,
    };
    Some(Logged {
        commit,
        is_ours: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_reads_back_what_it_says() {
        let commit = Commit {
            id: 7,
            committed_at: EventTime::from_micros(1_700_000_000_000_001),
            rows_upserted: 10,
            rows_deleted: 2,
            bytes: 4096,
            positions: Positions::from_iter([
                (PartitionId(0), Offset(12)),
                (PartitionId(11), Offset(u64::from(u32::MAX) * 2)),
            ]),
        };
        let (key, value) = entry(&commit);
        let logged = parse(7, &json!({"timestamp": 1, key: value})).unwrap();
        assert!(logged.is_ours);
        assert_eq!(logged.commit, commit);
    }

    #[test]
    fn a_commit_of_another_engine_has_a_time_and_no_positions() {
        let logged = parse(3, &json!({"timestamp": 5, "operation": "OPTIMIZE"})).unwrap();
        assert!(!logged.is_ours);
        assert_eq!(logged.commit.committed_at, EventTime::from_micros(5000));
        assert!(logged.commit.positions.is_empty());
        assert!(parse(3, &json!({"timestamp": 5, "twinfold": {"bytes": 1}})).is_none());
    }

    #[test]
    fn an_offset_beyond_the_log_format_is_refused() {
        let moved = Positions::from_iter([(PartitionId(0), Offset(u64::MAX))]);
        assert!(transactions("t", &moved).is_err());
    }
}
