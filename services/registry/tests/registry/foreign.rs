//! A registry whose schemas another one keeps: a second one of ours, as Confluent's API shows it.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::ServiceExt;
use twinfold_client::{Definitions, Deletion, Expected};
use twinfold_model::{
    Error as ModelError, Feature, FeatureGroupId, FeatureType, GroupDescription, SchemaId,
};
use twinfold_registry::subjects::{Candidate, Level, Removal, Scope, Seen, Subject, VersionName};
use twinfold_registry::{
    Error, ForeignConfig, ForeignError, ForeignRegistry, LocalRegistry, Registry, http,
};
use twinfold_store_metadata::{Error as MetadataError, SchemaVersion};
use twinfold_testkit::weather_group;

use crate::world::{Place, tasks};

const TOPIC: &str = "default.weather_1";
/// `twinfold` and `secret`.
const AUTHORIZATION: &str = "Basic dHdpbmZvbGQ6c2VjcmV0";

/// The registry of others, for as long as the test runs.
struct Elsewhere {
    registry: Registry,
    url: String,
    is_down: Arc<AtomicBool>,
    _serving: JoinSet<()>,
    _place: Place,
}

impl Elsewhere {
    /// With a schema already, so that its ids are not ours by chance.
    async fn start() -> Self {
        let place = Place::new().await;
        let registry = place.registry().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let is_down = Arc::new(AtomicBool::new(false));
        let gate = middleware::from_fn_with_state(Arc::clone(&is_down), gate);
        let router = http::router(registry.clone(), tasks()).layer(gate);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            axum::serve(listener, router).await.expect("serves");
        });
        let elsewhere = Self {
            registry,
            url: format!("http://{address}"),
            is_down,
            _serving: serving,
            _place: place,
        };
        elsewhere.requires(Level::None).await;
        elsewhere.register("other-value", &json!("string")).await;
        elsewhere
    }

    fn goes_down(&self) {
        self.is_down.store(true, Ordering::SeqCst);
    }

    fn comes_back(&self) {
        self.is_down.store(false, Ordering::SeqCst);
    }

    async fn requires(&self, level: Level) {
        let all = Scope::ALL;
        let set = self.registry.set_compatibility(&all, Some(level)).await;
        set.expect("writable");
    }

    async fn register(&self, subject: &str, schema: &Json) -> SchemaId {
        let subject = Subject::new(subject).expect("valid");
        let candidate = Candidate::parse(&schema.to_string(), None).expect("a schema");
        let registered = self.registry.register(&subject, &candidate).await;
        registered.expect("compatible").schema.id
    }

    async fn versions(&self, subject: &str) -> Vec<SchemaVersion> {
        let subject = Subject::new(subject).expect("valid");
        let versions = self.registry.versions(&subject, Seen::DeletedToo).await;
        versions.unwrap_or_default()
    }
}

/// Answers nobody while it is down, and at other times those who say who they are.
async fn gate(State(is_down): State<Arc<AtomicBool>>, request: Request, next: Next) -> Response {
    if is_down.load(Ordering::SeqCst) {
        return (StatusCode::BAD_GATEWAY, "<html>nobody is there").into_response();
    }
    let said = request.headers().get("authorization");
    if said.is_none_or(|said| said != AUTHORIZATION) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    next.run(request).await
}

fn foreign(url: &str, password: &str) -> ForeignRegistry {
    let registry = ForeignRegistry::new(ForeignConfig {
        url: url.to_owned(),
        user: "twinfold".to_owned(),
        password: password.to_owned(),
        request_timeout_ms_max: NonZeroU64::new(10_000).expect("not zero"),
    });
    registry.expect("a valid URL")
}

async fn registry_beside(place: &Place, elsewhere: &Elsewhere) -> Registry {
    let foreign = foreign(&elsewhere.url, "secret");
    place.registry_with(Some(foreign)).await
}

fn id() -> FeatureGroupId {
    weather_group().id().clone()
}

fn humidity() -> Vec<Feature> {
    vec![Feature::new("humidity", FeatureType::Double).expect("valid")]
}

/// A schema of another hand: the features that are required, and a field.
fn observation(name: &str, r#type: &str) -> Json {
    let at = json!({"type": "long", "logicalType": "timestamp-millis"});
    json!({"type": "record", "name": "Observation", "fields": [
        {"name": "origin", "type": "string"},
        {"name": "observed_at", "type": at},
        {"name": name, "type": r#type},
    ]})
}

/// Whether the platform holds nothing of the group.
async fn is_nothing_left(place: &Place, registry: &Registry) -> bool {
    let groups = registry.feature_groups(None).await.expect("readable");
    let schemas = registry.all_schemas(Seen::DeletedToo).await;
    registry.reconcile_once().await.expect("reads");
    groups.is_empty() && schemas.expect("readable").is_empty() && place.world.kinds().is_empty()
}

#[tokio::test]
async fn a_groups_schemas_have_the_ids_that_are_given_elsewhere() {
    let (place, elsewhere) = (Place::new().await, Elsewhere::start().await);
    let registry = registry_beside(&place, &elsewhere).await;
    let created = registry.create_feature_group(weather_group()).await;
    let created = created.expect("new");
    assert_eq!(created.schema, SchemaId(2), "the first is another's");
    elsewhere.register("other-value", &json!("bytes")).await;
    let evolved = registry
        .append_features(&id(), humidity(), &Expected::Anything)
        .await;
    assert_eq!(evolved.expect("nullable").schema, SchemaId(4));

    let theirs = elsewhere.versions("default.weather_1-value").await;
    let ids: Vec<SchemaId> = theirs.iter().map(|version| version.schema.id).collect();
    assert_eq!(ids, [SchemaId(2), SchemaId(4)]);
    elsewhere.goes_down();
    for version in theirs {
        let id = version.schema.id;
        let ours = registry.writer_schema(id, TOPIC).await.expect("known here");
        assert_eq!(
            (ours.id, ours.avro_json),
            (id, version.schema.avro_json),
            "an id has one text"
        );
    }
    let storms = GroupDescription {
        description: Some("storms".to_owned()),
        tags: None,
    };
    let described = registry
        .describe_feature_group(&id(), &storms, &Expected::Anything)
        .await;
    let described = described.expect("nothing to ask elsewhere");
    assert_eq!(described.schema, SchemaId(4));
    elsewhere.comes_back();

    let again = registry.create_feature_group(weather_group()).await;
    assert!(
        matches!(again, Err(Error::AlreadyExists { .. })),
        "{again:?}"
    );
    assert_eq!(elsewhere.versions("default.weather_1-value").await.len(), 2);
    assert!(
        elsewhere
            .versions("default.weather_1-2-value")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_later_life_of_a_group_has_a_subject_of_its_own() {
    let (place, elsewhere) = (Place::new().await, Elsewhere::start().await);
    let registry = registry_beside(&place, &elsewhere).await;
    let created = registry.create_feature_group(weather_group()).await;
    let first = created.expect("new").schema;
    let deleting = registry
        .delete_feature_group(&id(), Deletion::Force, &Expected::Anything)
        .await;
    deleting.expect("there");
    registry.reconcile_once().await.expect("reads");
    let created = registry.create_feature_group(weather_group()).await;
    let created = created.expect("the first is gone");
    assert_eq!(created.schema, first, "it is the same schema");
    let theirs = elsewhere.versions("default.weather_1-2-value").await;
    assert_eq!(theirs[0].schema.id, first);
}

#[tokio::test]
async fn a_producers_schema_is_looked_up_once() {
    let (place, elsewhere) = (Place::new().await, Elsewhere::start().await);
    let registry = registry_beside(&place, &elsewhere).await;
    let created = registry.create_feature_group(weather_group()).await;
    created.expect("new");
    let subject = "default.weather_1-value";
    let fine = elsewhere
        .register(subject, &observation("temp", "float"))
        .await;
    let deleted = elsewhere
        .register(subject, &observation("temp", "int"))
        .await;
    let name = Subject::new(subject).expect("valid");
    let latest = VersionName::Latest;
    let deleting = elsewhere
        .registry
        .delete_version(&name, latest, Removal::Delete);
    deleting.await.expect("there");

    let found = registry.writer_schema(fine, TOPIC).await.expect("there");
    assert_eq!(found.id, fine);
    let found = registry.writer_schema(deleted, TOPIC).await;
    assert_eq!(found.expect("rows were written with it").id, deleted);
    let known = registry.schemas(&id()).await.expect("exists");
    assert_eq!(known.len(), 3);
    elsewhere.goes_down();
    let restarted = registry_beside(&place, &elsewhere).await;
    let found = restarted.writer_schema(fine, TOPIC).await;
    assert_eq!(found.expect("known here").id, fine);
}

#[tokio::test]
async fn a_schema_that_is_not_one_of_the_groups_rows_is_unknown() {
    let (place, elsewhere) = (Place::new().await, Elsewhere::start().await);
    let registry = registry_beside(&place, &elsewhere).await;
    let created = registry.create_feature_group(weather_group()).await;
    created.expect("new");
    let fine = observation("temp", "float");
    let of_keys = elsewhere.register("default.weather_1-key", &fine).await;
    let unreadable = observation("visibility", "long");
    let unreadable = elsewhere
        .register("default.weather_1-value", &unreadable)
        .await;
    for (id, reason) in [
        (of_keys, "not registered"),
        (unreadable, "feature `visibility`: found bigint, wanted int"),
        (SchemaId(99), "not registered"),
    ] {
        let found = registry.writer_schema(id, TOPIC).await;
        let Err(error @ Error::NotFound { .. }) = &found else {
            panic!("{found:?}");
        };
        assert!(error.to_string().contains(reason), "{error}");
    }
    assert_eq!(registry.schemas(&id()).await.expect("exists").len(), 1);
}

#[tokio::test]
async fn a_group_is_not_created_while_nobody_answers() {
    let (place, elsewhere) = (Place::new().await, Elsewhere::start().await);
    let nowhere = foreign("http://127.0.0.1:1", "secret");
    let unreachable = place.registry_with(Some(nowhere)).await;
    let registry = registry_beside(&place, &elsewhere).await;
    elsewhere.goes_down();
    for registry in [&unreachable, &registry] {
        let failed = registry.create_feature_group(weather_group()).await;
        let error = match failed {
            Err(error @ Error::Foreign(ForeignError::Unavailable { .. })) => error,
            other => panic!("{other:?}"),
        };
        assert!(error.retry(), "{error}");
        assert!(twinfold_client::Error::from(error).retry());
        assert!(is_nothing_left(&place, registry).await);
    }
    elsewhere.comes_back();
    assert!(
        elsewhere
            .versions("default.weather_1-value")
            .await
            .is_empty()
    );
    let created = registry.create_feature_group(weather_group()).await;
    let created = created.expect("it answers again");
    elsewhere.goes_down();
    let evolved = registry
        .append_features(&id(), humidity(), &Expected::Anything)
        .await;
    assert!(evolved.is_err_and(|error| error.retry()));
    let record = registry.feature_group(&id()).await.expect("there");
    assert_eq!(record, created);
}

#[tokio::test]
async fn a_group_that_does_not_go_with_what_is_there_is_refused() {
    let (place, elsewhere) = (Place::new().await, Elsewhere::start().await);
    let registry = registry_beside(&place, &elsewhere).await;
    let fine = observation("temp", "float");
    elsewhere.register("default.weather_1-value", &fine).await;
    elsewhere.requires(Level::Full).await;
    let refused = registry.create_feature_group(weather_group()).await;
    let Err(Error::Invalid(ModelError::InvalidFeatureGroup { reason, .. })) = &refused else {
        panic!("{refused:?}");
    };
    assert!(
        reason.contains("default.weather_1-value") && reason.contains("version 1"),
        "{reason}"
    );
    assert!(is_nothing_left(&place, &registry).await);

    let stranger = foreign(&elsewhere.url, "guess");
    let stranger = place.registry_with(Some(stranger)).await;
    let refused = stranger.create_feature_group(weather_group()).await;
    assert!(
        matches!(
            refused,
            Err(Error::Foreign(ForeignError::Refused { code: 401, .. }))
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_look_up_waits_for_an_answer() {
    let (place, elsewhere) = (Place::new().await, Elsewhere::start().await);
    let registry = registry_beside(&place, &elsewhere).await;
    let created = registry.create_feature_group(weather_group()).await;
    created.expect("new");
    let fine = observation("temp", "float");
    let fine = elsewhere.register("default.weather_1-value", &fine).await;
    let definitions = LocalRegistry::new(registry);
    elsewhere.goes_down();
    for id in [fine, SchemaId(99)] {
        let error = definitions.schema(id, TOPIC).await;
        let error = error.expect_err("no answer is not a no");
        assert!(error.retry(), "{error}");
    }
    elsewhere.comes_back();
    let found = definitions.schema(fine, TOPIC).await.expect("an answer");
    assert_eq!(found.expect("there").id, fine);
    let unknown = definitions.schema(SchemaId(99), TOPIC).await;
    assert_eq!(unknown.expect("an answer"), None);
}

#[tokio::test]
async fn an_id_that_is_another_schema_here_is_named_with_both() {
    let (place, elsewhere) = (Place::new().await, Elsewhere::start().await);
    let alone = place.registry().await;
    let own = Subject::new("own-value").expect("valid");
    for schema in [r#""int""#, r#""long""#] {
        let candidate = Candidate::parse(schema, None).expect("a schema");
        alone.register(&own, &candidate).await.expect("new");
    }
    let registry = registry_beside(&place, &elsewhere).await;
    let refused = registry.create_feature_group(weather_group()).await;
    let Err(Error::Metadata(error @ MetadataError::SchemaIdTaken { id: 2, .. })) = &refused else {
        panic!("{refused:?}");
    };
    let message = error.to_string();
    assert!(message.contains(r#"`"long"`"#), "{message}");
    assert!(message.contains("observed_at"), "{message}");
    let groups = registry.feature_groups(None).await.expect("readable");
    assert_eq!(groups, []);
}

#[tokio::test]
async fn who_asks_here_is_told_where_schemas_are() {
    let (place, elsewhere) = (Place::new().await, Elsewhere::start().await);
    let registry = registry_beside(&place, &elsewhere).await;
    let router = http::router(registry, tasks());
    for (method, path) in [
        ("GET", "/subjects"),
        ("GET", "/"),
        ("POST", "/subjects/default.weather_1-value/versions"),
        ("PUT", "/config"),
    ] {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::empty()).expect("a request");
        let answer = router.clone().oneshot(request).await.expect("infallible");
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        let body = to_bytes(answer.into_body(), 1 << 20).await.expect("short");
        let body: Json = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["error_code"], 42_205, "{body}");
        let message = body["message"].as_str().expect("a message");
        assert!(message.contains(&elsewhere.url), "{message}");
    }
    let ours = Request::builder().uri("/v1/feature-groups");
    let ours = ours.body(Body::empty()).expect("a request");
    let answer = router.oneshot(ours).await.expect("infallible");
    assert_eq!(answer.status(), StatusCode::OK);
}
