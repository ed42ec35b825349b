//! The stories on a platform behind a port, and what only the way over the network can spoil.

use std::collections::BTreeMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use twinfold_client::remote::RemotePlatform;
use twinfold_client::{
    Catalog as _, Deletion, Entry, Error, Expected, Platform, ReadRequest, Result, ServingRequest,
    ServingSource, Spine, VectorOptions, VectorReader, WaitTarget,
};
use twinfold_embedded::Config;
use twinfold_integration_tests::{Deployment, Way, history, insert_and_wait, latest, read_all};
use twinfold_model::{
    DatasetFormat, DatasetSource, DatasetSpec, DatasetSplit, Error as ModelError, EventTime,
    Feature, FeatureGroup, FeatureType, FeatureView, FeatureViewId, GroupDescription, Name, Offset,
    PartitionId, ProjectName, Query, Selection, Value,
};
use twinfold_testkit::{all_types_group, batch, bench_group, bench_rows, rows, weather_group};
use twinfold_wire::rest::WaitBody;

twinfold_integration_tests::platform_stories!(OverHttp);

async fn deployment() -> Deployment {
    Way::OverHttp.deployment().await
}

async fn deployment_with(configure: fn(&mut Config)) -> Deployment {
    Way::OverHttp.deployment_with(configure).await
}

const HOUR_US: i64 = 3_600_000_000;
const BOTH: WaitTarget = WaitTarget {
    online: true,
    offline: true,
};
const LENIENT: VectorOptions = VectorOptions {
    allow_missing: true,
    allow_error: false,
};
const STRICT: VectorOptions = VectorOptions {
    allow_missing: false,
    allow_error: false,
};

/// (origin, hours since 1970), with that many degrees.
fn weather(of: &[(&str, i64)]) -> RecordBatch {
    let values: Vec<Vec<Value>> = of
        .iter()
        .map(|(origin, hours)| {
            vec![
                Value::String((*origin).to_owned()),
                Value::Timestamp(hours * HOUR_US),
                Value::Double(*hours as f64),
                Value::Null,
                Value::Null,
            ]
        })
        .collect();
    batch(&weather_group(), &values)
}

fn select(features: &[&str]) -> Query {
    Query {
        left: Selection {
            group: weather_group().id().clone(),
            features: features.iter().map(ToString::to_string).collect(),
            as_of: None,
        },
        joins: Vec::new(),
        filter: None,
    }
}

fn view(features: &[&str]) -> FeatureView {
    FeatureView {
        id: FeatureViewId::new("default", "conditions", 1).expect("id"),
        query: select(features),
        labels: Vec::new(),
        defaults: BTreeMap::new(),
        description: "é".to_owned(),
    }
}

fn read(query: Query) -> ReadRequest {
    ReadRequest {
        query,
        defaults: BTreeMap::new(),
        spine: None,
        event_time_start: None,
        event_time_end: None,
    }
}

fn dataset() -> DatasetSpec {
    let split = |name: &str, share| DatasetSplit {
        name: name.to_owned(),
        share,
    };
    DatasetSpec {
        project: ProjectName::new("default").expect("name"),
        name: Name::new("training dataset", "conditions").expect("name"),
        version: None,
        source: DatasetSource::Query(select(&["origin", "temp"])),
        labels: vec!["temp".to_owned()],
        defaults: BTreeMap::new(),
        format: DatasetFormat::Parquet,
        splits: vec![split("train", 0.9), split("test", 0.1)],
        seed: u64::MAX,
        event_time_start: None,
        event_time_end: Some(EventTime::from_micros(9 * HOUR_US)),
        description: String::new(),
    }
}

fn entry(origin: &str) -> Entry {
    BTreeMap::from([("origin".to_owned(), Value::String(origin.to_owned()))])
}

async fn create(platform: &dyn Platform, group: &FeatureGroup) {
    let created = platform.create_feature_group(group.clone()).await;
    assert_eq!(created.expect("create").group.id(), group.id());
}

async fn reader(platform: &dyn Platform) -> Arc<dyn VectorReader> {
    let source = ServingSource::View(view(&[]).id);
    let reader = platform.vector_reader(ServingRequest { source }).await;
    reader.expect("reader")
}

/// One line per row with its schema, in an order that does not depend on where the rows came from.
fn lines(batch: &RecordBatch) -> Vec<String> {
    let rows = (0..batch.num_rows()).map(|row| format!("{:?}", batch.slice(row, 1)));
    let mut lines: Vec<String> = rows.collect();
    lines.sort_unstable();
    lines
}

/// Asks a fresh platform for everything that has an answer.
async fn answers(platform: &dyn Platform) -> Vec<Vec<String>> {
    let (group, all_types) = (weather_group(), all_types_group());
    create(platform, &group).await;
    create(platform, &all_types).await;
    let airports = [("JFK", 1), ("JFK", 2), ("EWR", 1), ("LGA", 7)];
    insert_and_wait(platform, group.id(), weather(&airports)).await;
    insert_and_wait(platform, all_types.id(), rows(&all_types, 1, 40)).await;
    platform
        .create_feature_view(view(&["origin", "temp"]))
        .await
        .expect("view");
    let spine = weather(&[("JFK", 2), ("EWR", 0), ("HPN", 9)]);
    let spine = spine.project(&[0, 1]).expect("columns");
    let over_spine = ReadRequest {
        spine: Some(Spine {
            schema: spine.schema(),
            batches: vec![spine],
            event_time: Some("observed_at".to_owned()),
        }),
        ..read(select(&["temp"]))
    };
    let storms = GroupDescription {
        description: Some("storms, é".to_owned()),
        tags: None,
    };
    let described = platform
        .describe_feature_group(group.id(), &storms, &Expected::Anything)
        .await;
    assert_eq!(described.expect("there").group.description(), "storms, é");
    let changes = platform.read_changes(group.id(), None, None).await;
    let made = platform.create_dataset(dataset()).await.expect("dataset");
    let kept = platform.read_dataset("conditions", 1, None).await;
    let check = platform.verify_dataset("conditions", 1).await;
    assert!(check.expect("check").is_proved());
    let statistics = platform.dataset_statistics("conditions", 1).await;
    let statistics = statistics.expect("there").expect("kept");
    let entries = [entry("JFK"), entry("HPN")];
    let vectors = reader(platform).await;
    let found = vectors.vectors(&entries, &[], LENIENT).await;
    vec![
        lines(&history(platform, &all_types, None).await),
        lines(&latest(platform, all_types.id()).await),
        lines(&latest(platform, group.id()).await),
        lines(&read_all(platform.read(over_spine).await.expect("read")).await),
        lines(&read_all(changes.expect("changes")).await),
        lines(&read_all(kept.expect("rows")).await),
        vec![
            format!("{:?}", platform.feature_groups().await.expect("groups")),
            format!("{:?}", platform.feature_views().await.expect("views")),
            format!("{:?} {:?} {:?}", made.spec, made.features, made.rows),
            made.digest,
            format!("{statistics:?}"),
            format!("{:?}", found.expect("vectors")),
            format!("{:?} {:?}", vectors.features(), vectors.serving_keys()),
            format!("{} {}", platform.project(), platform.partitions_default()),
        ],
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_a_platform_in_the_process() {
    let (near, far) = (Way::Embedded.deployment().await, deployment().await);
    let near = answers(near.platform()).await;
    let far = answers(far.platform()).await;
    assert!(near.iter().all(|part| !part.is_empty()));
    assert_eq!(far, near);
}

/// A failure as it is, with every field.
fn failure<T>(outcome: Result<T>) -> String {
    match outcome {
        Ok(_) => panic!("it went well"),
        Err(error) => format!("{error:?} {error}"),
    }
}

/// Asks a fresh platform for what it must refuse.
async fn refusals(platform: &dyn Platform) -> Vec<String> {
    let (group, other) = (weather_group(), bench_group());
    create(platform, &group).await;
    let mut receipt = insert_and_wait(platform, group.id(), weather(&[("JFK", 1)])).await;
    receipt.end.advance(PartitionId(0), Offset(1_000_000));
    let made = platform.create_feature_view(view(&["origin", "temp"]));
    made.await.expect("view");
    let mut smaller = group.to_spec();
    smaller.features.pop();
    let smaller = FeatureGroup::new(smaller).expect("valid");
    let temp = Feature::new("temp", FeatureType::Double).expect("feature");
    let unknown_view = ServingSource::View(FeatureViewId::new("default", "no", 1).expect("id"));
    let vectors = reader(platform).await;
    let soon = Duration::from_millis(30);
    vec![
        failure(platform.create_feature_group(smaller).await),
        failure(platform.feature_group("wether", None).await),
        failure(platform.feature_group("a/b é%20?", None).await),
        failure(platform.feature_group("No", Some(1)).await),
        failure(platform.feature_group("weather", Some(0)).await),
        failure(
            platform
                .append_features(group.id(), vec![temp], &Expected::Anything)
                .await,
        ),
        failure(
            platform
                .delete_feature_group(group.id(), Deletion::RefuseIfUsed, &Expected::Anything)
                .await,
        ),
        failure(platform.create_feature_view(view(&["origin"])).await),
        failure(platform.feature_view("conditions", Some(2)).await),
        failure(
            platform
                .insert(group.id(), vec![bench_rows(0, 1, 0)], &|_| ())
                .await,
        ),
        failure(
            platform
                .insert(other.id(), vec![bench_rows(0, 1, 0)], &|_| ())
                .await,
        ),
        failure(platform.progress(other.id()).await),
        failure(platform.wait(&receipt, BOTH, soon).await),
        failure(platform.read(read(select(&["snow"]))).await),
        failure(platform.read_online(other.id()).await),
        failure(platform.dataset("conditions", None).await),
        failure(platform.read_dataset("../secrets", 1, None).await),
        failure(vectors.vectors(&[entry("HPN")], &[], STRICT).await),
        failure(vectors.vectors(&[Entry::new()], &[], LENIENT).await),
        failure(vectors.vectors(&[], &[entry("HPN")], LENIENT).await),
        failure(
            platform
                .vector_reader(ServingRequest {
                    source: unknown_view,
                })
                .await,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_those_of_a_platform_in_the_process() {
    let (near, far) = (Way::Embedded.deployment().await, deployment().await);
    let near = refusals(near.platform()).await;
    let far = refusals(far.platform()).await;
    assert_eq!(far, near);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_one_connection_and_a_platform_that_is_gone_is_told_from_it() {
    let mut deployment = deployment().await;
    let platform = deployment.platform();
    create(platform, &weather_group()).await;
    let made = platform.create_feature_view(view(&["origin", "temp"]));
    made.await.expect("view");
    let vectors = reader(platform).await;
    let address = deployment.address().expect("behind a port");
    let url = format!("http://{address}");
    let other = RemotePlatform::connect(&url).await.expect("connect");
    assert_eq!(other.url(), url);

    platform.close().await.expect("close");
    platform.close().await.expect("close again");
    let closed = [
        platform.feature_groups().await.expect_err("closed"),
        vectors
            .vectors(&[entry("JFK")], &[], LENIENT)
            .await
            .expect_err("closed"),
    ];
    assert!(closed.iter().all(|error| matches!(error, Error::Closed)));
    let groups = other.feature_groups().await;
    assert_eq!(groups.expect("goes on for others").len(), 1);

    deployment.restart().await;
    let error = other.feature_groups().await.expect_err("gone");
    assert!(matches!(error, Error::Dependency { retry: true, .. }));
    assert!(error.to_string().starts_with("platform: "), "{error}");
    let refused = RemotePlatform::connect(&url).await;
    assert!(refused.is_err_and(|error| error.retry()));
    let groups = deployment.platform().feature_groups().await;
    assert_eq!(groups.expect("all is there").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_for_one_request_is_refused_whole() {
    let deployment = deployment_with(|config| {
        config.http.rows_bytes_max = NonZeroU64::new(20_000).expect("not zero");
    })
    .await;
    let platform = deployment.platform();
    let group = bench_group();
    create(platform, &group).await;
    let large = platform.insert(group.id(), vec![bench_rows(0, 1_000, 0)], &|_| ());
    let Err(Error::TooLarge {
        bytes, bytes_max, ..
    }) = large.await
    else {
        panic!("it was taken in");
    };
    assert_eq!(bytes_max, 20_000);
    assert!(bytes > bytes_max);
    insert_and_wait(platform, group.id(), bench_rows(0, 3, 0)).await;
    assert_eq!(latest(platform, group.id()).await.num_rows(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_vectors_and_long_waits_take_several_requests_and_nobody_sees_it() {
    let deployment = deployment_with(|config| {
        config.http.entries_max = NonZeroUsize::new(3).expect("not zero");
        config.http.wait_ms_max = 20;
    })
    .await;
    let platform = deployment.platform();
    create(platform, &weather_group()).await;
    let rows = weather(&[("JFK", 1), ("EWR", 2)]);
    let mut receipt = insert_and_wait(platform, weather_group().id(), rows).await;
    let made = platform.create_feature_view(view(&["origin", "temp"]));
    made.await.expect("view");
    let vectors = reader(platform).await;
    let origins = ["JFK", "EWR", "JFK", "JFK", "EWR", "EWR", "JFK", "EWR"];
    let mut entries: Vec<Entry> = origins.map(entry).into();
    let passed = vec![Entry::new(); entries.len()];
    for passed in [&passed[..0], &passed[..]] {
        let found = vectors.vectors(&entries, passed, STRICT).await;
        let found = found.expect("vectors").into_iter();
        let found: Vec<Value> = found.map(|vector| vector.values[0].clone()).collect();
        assert_eq!(
            found,
            origins.map(|origin| Value::String(origin.to_owned()))
        );
    }
    entries[7] = Entry::new();
    let error = vectors.vectors(&entries, &[], STRICT).await;
    assert!(
        matches!(
            error,
            Err(Error::Invalid(ModelError::TypeMismatch {
                row: Some(7),
                ..
            }))
        ),
        "{error:?}"
    );

    receipt.end.advance(PartitionId(0), Offset(1_000_000));
    let patience = Duration::from_millis(90);
    let error = platform.wait(&receipt, BOTH, patience).await;
    let Err(Error::Timeout { seconds, state, .. }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(seconds, 0.09);
    assert!(state.contains("online is behind"), "{state}");
}

/// A reader never gives vectors of other features than it says.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_a_view_that_was_made_anew_is_told_so() {
    let deployment = deployment().await;
    let platform = deployment.platform();
    create(platform, &weather_group()).await;
    let made = platform.create_feature_view(view(&["origin", "temp"]));
    made.await.expect("view");
    let old = reader(platform).await;
    platform
        .delete_feature_view(&view(&[]).id)
        .await
        .expect("delete");
    let made = platform.create_feature_view(view(&["temp", "wind_speed"]));
    made.await.expect("made again");
    let new = reader(platform).await;
    let of_new = new.vectors(&[entry("JFK")], &[], LENIENT).await;
    assert_eq!(of_new.expect("vectors")[0].values.len(), 2);
    let error = old.vectors(&[entry("JFK")], &[], LENIENT).await;
    let error = error.expect_err("another shape");
    assert!(
        error
            .to_string()
            .starts_with("vector reader `default.conditions_1` does not exist"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_group_that_is_another_by_now_is_refused() {
    let deployment = deployment().await;
    let platform = deployment.platform();
    let group = weather_group();
    create(platform, &group).await;
    let storms = GroupDescription {
        description: Some("storms".to_owned()),
        tags: None,
    };
    let first = seen(&deployment).await;
    let described = platform.describe_feature_group(group.id(), &storms, &first);
    described.await.expect("as it was seen");
    let second = seen(&deployment).await;
    assert_ne!(first, second);
    let again = platform.describe_feature_group(group.id(), &storms, &second);
    again.await.expect("as it was seen");
    assert_eq!(seen(&deployment).await, second, "nothing was said anew");

    let gust = Feature::new("gust", FeatureType::Double).expect("feature");
    let described = platform.describe_feature_group(group.id(), &storms, &first);
    let appended = platform.append_features(group.id(), vec![gust], &first);
    let deleted = platform.delete_feature_group(group.id(), Deletion::Force, &first);
    for refused in [
        described.await.map(drop),
        appended.await.map(drop),
        deleted.await,
    ] {
        assert!(matches!(refused, Err(Error::Stale { .. })), "{refused:?}");
    }
    let deleted = platform.delete_feature_group(group.id(), Deletion::RefuseIfUsed, &second);
    deleted.await.expect("as it was seen");
}

/// The group of weather as the port shows it.
async fn seen(deployment: &Deployment) -> Expected {
    let head = "GET /v1/platform/feature-groups/weather";
    let answer = raw(deployment, head, 0, "").await;
    let mut lines = answer.lines();
    let tag = lines.find_map(|line| line.strip_prefix("etag: "));
    let name = tag.expect("a tag").trim_matches('"');
    Expected::OneOf(vec![name.to_owned()])
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_does_not_keep_a_server_that_stops() {
    // Longer than the server is given to stop.
    let mut deployment = deployment_with(|config| config.http.wait_ms_max = 3_600_000).await;
    let platform = deployment.platform();
    create(platform, &weather_group()).await;
    let rows = weather(&[("JFK", 1)]);
    let mut receipt = insert_and_wait(platform, weather_group().id(), rows).await;
    receipt.end.advance(PartitionId(0), Offset(1_000_000));
    let body = WaitBody {
        receipt: (&receipt).into(),
        online: true,
        offline: true,
        timeout_ms: 3_600_000,
    };
    let body = serde_json::to_string(&body).expect("serializable");
    let address = deployment.address().expect("behind a port");
    let mut stream = TcpStream::connect(address).await.expect("connect");
    let head = format!(
        "POST /v1/platform/receipts/wait HTTP/1.1\r\nhost: twinfold\r\nexpect: 100-continue\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("write");
    // It is said when the handler asks for the body.
    let mut said = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut said).await.expect("read");
    assert!(said.starts_with(b"HTTP/1.1 100 "), "{said:?}");
    stream.write_all(body.as_bytes()).await.expect("write");

    deployment.restart().await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("read");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains(r#""code":"not_ready""#), "{answer}");
}

/// The port's answer to a request, as text.
async fn raw(deployment: &Deployment, head: &str, length: usize, body: &str) -> String {
    let address = deployment.address().expect("behind a port");
    let mut stream = TcpStream::connect(address).await.expect("connect");
    let request = format!(
        "{head} HTTP/1.1\r\nhost: twinfold\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("write");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("read");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_mean_nothing_are_told_why() {
    let deployment = deployment().await;
    let group = "/v1/platform/feature-groups/default/weather";
    for (head, body, status, wanted) in [
        (
            "GET /v1/platform/snow".to_owned(),
            "",
            404,
            "/v1/platform/snow",
        ),
        ("PUT /v1/platform".to_owned(), "", 405, "no_such_method"),
        (
            format!("PATCH {group}/1/rows"),
            "",
            405,
            "does not answer PATCH",
        ),
        (format!("GET {group}/one/progress"), "", 400, "`one`"),
        (
            format!("GET {group}/0/progress"),
            "",
            400,
            "versions count from 1",
        ),
        (format!("GET {group}/1/commits?limit=few"), "", 400, "limit"),
        (format!("GET {group}/1/commits?limits=1"), "", 400, "limits"),
        (
            format!("GET {group}/1/commits?limit=1001"),
            "",
            400,
            "wanted 1 to 1000",
        ),
        (
            format!("GET {group}/1/quarantine?after_offset=1"),
            "",
            400,
            "wanted both",
        ),
        ("POST /v1/platform/reads".to_owned(), "{", 400, "EOF"),
        ("POST /v1/platform/vectors".to_owned(), "[1]", 400, "JSON"),
        (
            "POST /v1/platform/feature-groups".to_owned(),
            r#"{"project":"default"}"#,
            400,
            "missing field",
        ),
        (
            format!("POST {group}/1/rows"),
            "origin,temp",
            400,
            "Arrow IPC stream",
        ),
    ] {
        let answer = raw(&deployment, &head, body.len(), body).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{head}: {answer}"
        );
        assert!(answer.contains(r#"{"code":""#), "{head}: {answer}");
        assert!(answer.contains(wanted), "{head}: {answer}");
        if status == 400 {
            assert!(answer.contains(r#""code":"invalid""#), "{head}: {answer}");
        }
    }
    let head = format!("POST {group}/1/rows");
    let answer = raw(&deployment, &head, 1 << 40, "").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains(r#""code":"too_large""#), "{answer}");
}
