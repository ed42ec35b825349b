use std::collections::BTreeMap;
use std::time::SystemTime;

use arrow::record_batch::RecordBatch;
use twinfold_client::{
    Entry, Error, Platform, ReadRequest, ServingRequest, ServingSource, Spine, VectorOptions,
};
use twinfold_model::{
    FeatureGroup, FeatureView, FeatureViewId, Presence, Query, Selection, Ttl, Value,
};
use twinfold_testkit::{batch, group};

use crate::{Way, column_i64, history, insert_and_wait, latest, read_all};

const HOUR_US: i64 = 3_600_000_000;
/// Much longer than a story takes: what expires in it had expired when it began.
const TTL_US: i64 = 24 * HOUR_US;

/// A group whose rows are readable for a day.
fn levels() -> FeatureGroup {
    let features = [("id", "bigint"), ("at", "timestamp"), ("level", "bigint")];
    let mut spec = group("levels", &features, &["id"], Some("at")).to_spec();
    spec.ttl = Ttl::from_micros(TTL_US);
    FeatureGroup::new(spec).expect("valid")
}

/// (id, event time in µs, level)
fn rows(of: &[(i64, i64, i64)]) -> RecordBatch {
    let row = |(id, at_us, level): &(i64, i64, i64)| {
        vec![
            Value::BigInt(*id),
            Value::Timestamp(*at_us),
            Value::BigInt(*level),
        ]
    };
    batch(&levels(), &of.iter().map(row).collect::<Vec<_>>())
}

fn hours_ago(hours: i64) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("after 1970").as_micros() as i64 - hours * HOUR_US
}

fn query() -> Query {
    Query {
        left: Selection {
            group: levels().id().clone(),
            features: vec!["level".to_owned()],
            as_of: None,
        },
        joins: Vec::new(),
        filter: None,
    }
}

fn view() -> FeatureView {
    FeatureView {
        id: FeatureViewId::new("default", "levels", 1).expect("id"),
        query: query(),
        labels: Vec::new(),
        defaults: BTreeMap::from([("level".to_owned(), Value::BigInt(-1))]),
        description: String::new(),
    }
}

async fn newest(platform: &dyn Platform) -> Vec<i64> {
    column_i64(&latest(platform, levels().id()).await, "level")
}

pub async fn expired_rows_are_seen_by_no_reader_and_stay_in_history(way: Way) {
    let deployment = way.deployment().await;
    let platform = deployment.platform();
    let group = levels();
    let created = platform.create_feature_group(group.clone()).await;
    created.expect("create");
    let (expired, fresh) = (hours_ago(25), hours_ago(1));
    let given = rows(&[(1, expired, 10), (2, fresh, 20)]);
    insert_and_wait(platform, group.id(), given).await;
    assert_eq!(newest(platform).await, [20]);

    // A late row is as old as its event time says, whenever it comes.
    let late = rows(&[(2, hours_ago(30), 21), (3, hours_ago(30), 30)]);
    insert_and_wait(platform, group.id(), late).await;
    assert_eq!(newest(platform).await, [20]);
    let again = rows(&[(1, hours_ago(2), 11)]);
    insert_and_wait(platform, group.id(), again).await;
    assert_eq!(newest(platform).await, [11, 20]);
    let all = history(platform, &group, None).await;
    assert_eq!(column_i64(&all, "level"), [10, 11, 20, 21, 30]);
}

pub async fn a_vector_says_that_a_row_has_expired(way: Way) {
    let deployment = way.deployment().await;
    let platform = deployment.platform();
    let group = levels();
    let created = platform.create_feature_group(group.clone()).await;
    created.expect("create");
    platform.create_feature_view(view()).await.expect("view");
    let given = rows(&[(1, hours_ago(25), 10), (2, hours_ago(1), 20)]);
    insert_and_wait(platform, group.id(), given).await;

    let source = ServingSource::View(view().id);
    let reader = platform.vector_reader(ServingRequest { source }).await;
    let reader = reader.expect("reader");
    let entry = |id| Entry::from([("id".to_owned(), Value::BigInt(id))]);
    let entries = [entry(1), entry(2), entry(3)];
    let options = VectorOptions {
        allow_missing: true,
        allow_error: false,
    };
    let vectors = reader.vectors(&entries, &[], options).await;
    let vectors = vectors.expect("vectors");
    let found: Vec<_> = vectors
        .iter()
        .map(|vector| (vector.groups[0].presence, vector.values[0].clone()))
        .collect();
    assert_eq!(
        found,
        [
            (Presence::Expired, Value::BigInt(-1)),
            (Presence::Present, Value::BigInt(20)),
            (Presence::Missing, Value::BigInt(-1)),
        ]
    );
    let strict = VectorOptions {
        allow_missing: false,
        ..options
    };
    let refused = reader.vectors(&entries[..1], &[], strict).await;
    let error = refused.expect_err("it has expired");
    assert!(
        matches!(&error, Error::MissingRow { presence, .. } if presence == "expired"),
        "{error}"
    );
}

/// In a join the reader's clock is that of the spine.
pub async fn a_row_of_the_past_expires_at_its_time(way: Way) {
    let deployment = way.deployment().await;
    let platform = deployment.platform();
    let group = levels();
    let created = platform.create_feature_group(group.clone()).await;
    created.expect("create");
    let long_ago = hours_ago(1_000);
    insert_and_wait(platform, group.id(), rows(&[(1, long_ago, 10)])).await;

    for (age_us, wanted) in [
        (-1, None),
        (0, Some(10)),
        (TTL_US, Some(10)),
        (TTL_US + 1, None),
    ] {
        let spine = rows(&[(1, long_ago + age_us, 0)]).project(&[0, 1]);
        let spine = spine.expect("key and time");
        let request = ReadRequest {
            query: query(),
            defaults: BTreeMap::new(),
            spine: Some(Spine {
                schema: spine.schema(),
                batches: vec![spine],
                event_time: Some("at".to_owned()),
            }),
            event_time_start: None,
            event_time_end: None,
        };
        let found = read_all(platform.read(request).await.expect("read")).await;
        assert_eq!(found.num_rows(), 1);
        let levels = column_i64(&found, "level");
        assert_eq!(levels, Vec::from_iter(wanted), "{age_us} µs");
    }
}
