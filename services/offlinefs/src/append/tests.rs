use tokio::sync::watch;
use twinfold_model::{
    AsOf, Commit, EventTime, Feature, FeatureGroupId, FeatureType, QuarantinedRecord,
    ResourceState, RowVersion, evolve,
};
use twinfold_store_offline::Snapshot;
use twinfold_wire::record::{Encoder, avro_schema};

use super::*;

const OLD: SchemaId = SchemaId(1);
/// What one embedding takes, null or not.
const EMBEDDING_BYTES: usize = 65_536 * 4;
const ROWS: u64 = 600;

/// Keeps what is appended, and refuses one append.
#[derive(Debug, Default)]
struct Store {
    appends: Mutex<Vec<AppendRequest>>,
    refuse: Mutex<Option<usize>>,
}

impl Store {
    fn appends(&self) -> Vec<AppendRequest> {
        self.appends.lock().unwrap().clone()
    }

    fn contained(&self) -> Positions {
        let mut contained = Positions::new();
        for append in self.appends() {
            contained.merge(&append.positions);
        }
        contained
    }
}

const UNUSED: &str = "a sink appends, nothing else";

#[async_trait]
impl OfflineStore for Store {
    async fn append(
        &self,
        table: &str,
        request: AppendRequest,
    ) -> twinfold_store_offline::Result<Commit> {
        let id = self.appends().len();
        if self
            .refuse
            .lock()
            .unwrap()
            .take_if(|at| *at == id)
            .is_some()
        {
            return Err(StoreError::Io(std::io::Error::other("disk full")));
        }
        for (partition, next) in request.positions.iter() {
            let reached = self.contained().get(partition).unwrap_or(Offset::ZERO);
            let follows = request.follows.get(partition).unwrap_or(Offset::ZERO);
            if reached > follows {
                return Err(StoreError::AlreadyCommitted {
                    table: table.to_owned(),
                    partition: partition.0,
                    reached: reached.0,
                    follows: follows.0,
                    found: next.0,
                });
            }
            assert!(
                self.contained().get(partition) < Some(next),
                "moves nothing"
            );
        }
        let mut commit = Commit {
            id: id as u64,
            committed_at: EventTime::from_micros(0),
            rows_upserted: request.rows_upserted,
            rows_deleted: request.rows_deleted,
            bytes: 0,
            positions: self.contained(),
        };
        commit.positions.merge(&request.positions);
        self.appends.lock().unwrap().push(request);
        Ok(commit)
    }

    async fn positions(&self, _: &str) -> twinfold_store_offline::Result<Positions> {
        Ok(self.contained())
    }

    async fn create_table(&self, _: &str, _: SchemaRef) -> twinfold_store_offline::Result<()> {
        unreachable!("{UNUSED}")
    }
    async fn drop_table(&self, _: &str) -> twinfold_store_offline::Result<()> {
        unreachable!("{UNUSED}")
    }
    async fn commits(
        &self,
        _: &str,
        _: Option<u64>,
        _: usize,
    ) -> twinfold_store_offline::Result<Vec<Commit>> {
        unreachable!("{UNUSED}")
    }
    async fn snapshot(&self, _: &str, _: Option<AsOf>) -> twinfold_store_offline::Result<Snapshot> {
        unreachable!("{UNUSED}")
    }
    async fn compact(&self, _: &str) -> twinfold_store_offline::Result<Option<u64>> {
        unreachable!("{UNUSED}")
    }
    async fn vacuum(&self, _: &str, _: u64, _: &[u64]) -> twinfold_store_offline::Result<u64> {
        unreachable!("{UNUSED}")
    }
}

/// Knows one schema.
#[derive(Debug)]
struct Registry(Arc<WriterSchema>);

#[async_trait]
impl Definitions for Registry {
    async fn schema(
        &self,
        id: SchemaId,
        _: &str,
    ) -> twinfold_client::Result<Option<Arc<WriterSchema>>> {
        Ok((id == self.0.id).then(|| Arc::clone(&self.0)))
    }

    async fn group(&self, _: &FeatureGroupId) -> twinfold_client::Result<Arc<GroupDefinition>> {
        unreachable!("{UNUSED}")
    }
    async fn groups(&self) -> twinfold_client::Result<Vec<Arc<GroupDefinition>>> {
        unreachable!("{UNUSED}")
    }
    fn changes(&self) -> watch::Receiver<u64> {
        unreachable!("{UNUSED}")
    }
    async fn pinned_commits(&self, _: &FeatureGroupId) -> twinfold_client::Result<Vec<u64>> {
        unreachable!("{UNUSED}")
    }
    async fn quarantine(&self, _: &[QuarantinedRecord]) -> twinfold_client::Result<()> {
        unreachable!("{UNUSED}")
    }
}

/// Rows of two partitions by turns, then a quarantined record at the end of the first.
fn batch(writer: &FeatureGroup) -> Batch {
    let mut encoder = Encoder::new(writer, OLD).expect("encoder");
    let rows = twinfold_testkit::rows(writer, 1, ROWS as usize);
    let records = encoder.encode(&rows).expect("encodes");
    let row = |(index, value): (usize, Bytes)| Row {
        partition: PartitionId(index as u32 % 2),
        key: Bytes::new(),
        version: RowVersion {
            event_time: EventTime::from_micros(0),
            operation: Operation::Upsert,
            offset: Offset(index as u64 / 2),
        },
        schema: OLD,
        value,
    };
    Batch {
        rows: records.iter().enumerate().map(row).collect(),
        positions: Positions::from_iter([
            (PartitionId(0), Offset(ROWS / 2 + 1)),
            (PartitionId(1), Offset(ROWS / 2)),
        ]),
        ..Batch::default()
    }
}

/// A group that gained an embedding, and a writer that does not know it yet.
async fn sink(store: &Arc<Store>) -> (Box<dyn Sink>, Batch) {
    let old = twinfold_testkit::weather_group();
    let added = Feature::new("embedded", FeatureType::Embedding(65_536)).expect("valid");
    let definition = GroupDefinition {
        group: evolve(&old, vec![added]).expect("nullable"),
        state: ResourceState::Active,
        resource: "default.weather_1".to_owned(),
        schema: SchemaId(2),
    };
    let schema = WriterSchema {
        id: OLD,
        avro_json: avro_schema(&old),
    };
    let registry = Arc::new(Registry(Arc::new(schema)));
    let sinks = OfflineSinks::new(Arc::clone(store) as _, registry, DECODE_BYTES_MAX);
    (sinks.open(&definition).await.expect("opens"), batch(&old))
}

fn check(store: &Store, batch: &Batch) {
    let appends = store.appends();
    assert!(appends.len() >= 2, "{} commits", appends.len());
    let mut rows = 0;
    for append in &appends {
        let counts = append.batches.iter().map(RecordBatch::num_rows);
        let in_append: usize = counts.sum();
        assert_eq!(append.rows_upserted, in_append as u64);
        assert!(
            in_append * EMBEDDING_BYTES <= 3 * DECODE_BYTES_MAX,
            "{in_append} rows in one commit"
        );
        rows += in_append as u64;
        let is_last = rows == ROWS;
        let partitions = [0, 1].map(|partition| append.positions.get(PartitionId(partition)));
        let after = rows.div_ceil(2) + u64::from(is_last);
        assert_eq!(partitions, [Some(Offset(after)), Some(Offset(rows / 2))]);
    }
    assert_eq!(rows, ROWS);
    assert_eq!(store.contained(), batch.positions);
}

#[tokio::test]
async fn a_batch_that_grows_when_decoded_makes_several_commits() {
    let store = Arc::new(Store::default());
    let (mut sink, batch) = sink(&store).await;
    sink.write(&batch).await.expect("written");
    check(&store, &batch);
    let commits = store.appends().len();
    sink.write(&batch).await.expect("written before");
    assert_eq!(store.appends().len(), commits, "nothing is doubled");
}

#[tokio::test]
async fn a_writer_that_was_replaced_learns_what_is_in_and_adds_the_rest() {
    let store = Arc::new(Store::default());
    let (mut replaced, batch) = sink(&store).await;
    let (mut owner, _) = sink(&store).await;
    let half = Batch {
        rows: batch.rows[..200].to_vec(),
        positions: Positions::from_iter([
            (PartitionId(0), Offset(100)),
            (PartitionId(1), Offset(100)),
        ]),
        ..Batch::default()
    };
    owner.write(&half).await.expect("written");
    let refused = replaced.write(&batch).await.expect_err("contained in part");
    assert!(refused.retry, "{refused}");
    replaced.write(&batch).await.expect("written");
    let appends = store.appends();
    let rows: u64 = appends.iter().map(|append| append.rows_upserted).sum();
    assert_eq!(rows, ROWS);
    assert_eq!(store.contained(), batch.positions);
}

#[tokio::test]
async fn a_batch_that_failed_in_the_middle_goes_on_there() {
    let store = Arc::new(Store::default());
    let (mut sink, batch) = sink(&store).await;
    *store.refuse.lock().unwrap() = Some(1);
    let failed = sink.write(&batch).await.expect_err("refused");
    assert!(failed.retry, "{failed}");
    sink.write(&batch).await.expect("written");
    check(&store, &batch);
}
