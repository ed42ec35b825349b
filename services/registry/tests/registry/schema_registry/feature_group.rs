//! The subject of a feature group's rows.

use reqwest::Method;
use serde_json::{Value as Json, json};
use twinfold_client::{Deletion, Expected};
use twinfold_model::{Error as ModelError, Feature, FeatureType, SchemaId};
use twinfold_registry::Error;
use twinfold_testkit::weather_group;

use super::{Server, request};

const TOPIC: &str = "default.weather_1";
const VERSIONS: &str = "/subjects/default.weather_1-value/versions";

async fn with_group() -> Server {
    let server = Server::start().await;
    let created = server.registry.create_feature_group(weather_group()).await;
    created.expect("new");
    server
}

/// A schema of another hand: the features that are required, and these fields.
fn weather(fields: &[(&str, Json)]) -> Json {
    let at = json!({"type": "long", "logicalType": "timestamp-millis"});
    let mut all = vec![
        json!({"name": "origin", "type": "string"}),
        json!({"name": "observed_at", "type": at}),
    ];
    let field = |(name, r#type): &(&str, Json)| json!({"name": name, "type": r#type});
    all.extend(fields.iter().map(field));
    request(&json!({"type": "record", "name": "Observation", "namespace": "tower", "fields": all}))
}

#[tokio::test]
async fn a_groups_own_schemas_are_versions_of_its_subject() {
    let server = with_group().await;
    let subject = "default.weather_1-value";
    assert_eq!(server.get("/subjects").await, json!([subject]));
    let first = server.get(&format!("{VERSIONS}/latest")).await;
    let humidity = Feature::new("humidity", FeatureType::Double).expect("valid");
    let id = weather_group().id().clone();
    let evolved = server
        .registry
        .append_features(&id, vec![humidity], &Expected::Anything)
        .await;
    let evolved = evolved.expect("nullable");
    assert_eq!(server.get(VERSIONS).await, json!([1, 2]));
    let second = server.get(&format!("{VERSIONS}/latest")).await;
    assert_eq!(second["id"], evolved.schema.0);

    // Whoever reads it and registers it again gets it back.
    let schema: Json = serde_json::from_str(first["schema"].as_str().expect("text")).expect("JSON");
    let pretty = json!({"schema": format!("{schema:#}")});
    assert_eq!(server.post(VERSIONS, &pretty).await["id"], first["id"]);
    for path in [format!("{VERSIONS}/1"), format!("/subjects/{subject}")] {
        let refused = server.refused(42_205, Method::DELETE, &path, None).await;
        assert!(refused.contains("default.weather_1"), "{refused}");
    }
}

#[tokio::test]
async fn rows_must_be_readable_as_rows_of_the_group() {
    let server = with_group().await;
    let extra = json!(["string", "int"]);
    let fine = weather(&[
        ("temp", json!("float")),
        ("visibility", json!(["null", "int"])),
        ("note", extra),
    ]);
    let registered = server.post(VERSIONS, &fine).await;
    assert_eq!(registered["version"], 2);

    let no_key = request(&json!({"type": "record", "name": "r", "fields": [
        {"name": "observed_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    ]}));
    for (schema, reason) in [
        (
            no_key,
            "feature `origin` does not exist in `the writer schema`",
        ),
        (
            weather(&[("temp", json!("string"))]),
            "feature `temp`: found string, wanted double",
        ),
        (
            weather(&[("visibility", json!("long"))]),
            "feature `visibility`: found bigint, wanted int",
        ),
        (request(&json!("string")), "wanted a record at the top"),
    ] {
        let message = server
            .refused(409, Method::POST, VERSIONS, Some(&schema))
            .await;
        assert!(message.contains(reason), "{message}");
        let check = "/compatibility/subjects/default.weather_1-value/versions/1?verbose=true";
        let answer = server.post(check, &schema).await;
        assert_eq!(answer["is_compatible"], false);
        assert!(
            answer["messages"][0]
                .as_str()
                .is_some_and(|text| text.contains(reason))
        );
    }
    // Versions of producers follow each other as the compatibility says.
    let renamed = json!({"type": "record", "name": "Other", "fields": [
        {"name": "origin", "type": "string"},
        {"name": "observed_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ]});
    let message = server
        .refused(409, Method::POST, VERSIONS, Some(&request(&renamed)))
        .await;
    assert!(message.contains("version 2"), "{message}");
    let config = "/config/default.weather_1-value";
    server.put(config, &json!({"compatibility": "NONE"})).await;
    server.post(VERSIONS, &request(&renamed)).await;
}

#[tokio::test]
async fn a_schema_is_registered_for_each_group_by_itself() {
    let server = with_group().await;
    let answer = server
        .post("/subjects/elsewhere-value/versions", &weather(&[]))
        .await;
    let id = SchemaId(answer["id"].as_u64().expect("a number") as u32);
    let unknown = server.registry.writer_schema(id, TOPIC).await;
    assert!(
        matches!(unknown, Err(Error::NotFound { .. })),
        "{unknown:?}"
    );
    server
        .post("/subjects/default.weather_1-key/versions", &weather(&[]))
        .await;
    let of_keys = server.registry.writer_schema(id, TOPIC).await;
    assert!(of_keys.is_err(), "a schema of keys is none of rows");

    server.post(VERSIONS, &weather(&[])).await;
    let known = server
        .registry
        .writer_schema(id, TOPIC)
        .await
        .expect("registered now");
    assert_eq!(known.id, id);
    assert_eq!(server.delete(&format!("{VERSIONS}/2")).await, 2);
    let deleted = server.registry.writer_schema(id, TOPIC).await;
    assert_eq!(deleted.expect("rows were written with it"), known);
    let path = format!("{VERSIONS}/2?permanent=true");
    server.refused(42_205, Method::DELETE, &path, None).await;
}

#[tokio::test]
async fn a_group_does_not_evolve_away_from_its_producers() {
    let server = with_group().await;
    server
        .post(VERSIONS, &weather(&[("humidity", json!("string"))]))
        .await;
    let id = weather_group().id().clone();
    let humidity = |r#type| vec![Feature::new("humidity", r#type).expect("valid")];
    let refused = server
        .registry
        .append_features(&id, humidity(FeatureType::Double), &Expected::Anything)
        .await;
    let Err(Error::Invalid(ModelError::IncompatibleEvolution { reason, .. })) = &refused else {
        panic!("{refused:?}");
    };
    assert!(
        reason.contains("`humidity`: found string, wanted double"),
        "{reason}"
    );
    server
        .registry
        .append_features(&id, humidity(FeatureType::String), &Expected::Anything)
        .await
        .expect("rows stay readable");
}

#[tokio::test]
async fn what_was_registered_before_the_group_does_not_bind_it() {
    let server = Server::start().await;
    server.post(VERSIONS, &request(&json!("string"))).await;
    let created = server.registry.create_feature_group(weather_group()).await;
    let schema = created.expect("new").schema;
    assert_eq!(server.get(VERSIONS).await, json!([1, 2]));
    let id = weather_group().id().clone();
    let schemas = server.registry.schemas(&id).await.expect("exists");
    assert_eq!(
        schemas.iter().map(|found| found.id).collect::<Vec<_>>(),
        [schema]
    );
    let humidity = Feature::new("humidity", FeatureType::Double).expect("valid");
    let evolved = server
        .registry
        .append_features(&id, vec![humidity], &Expected::Anything)
        .await;
    evolved.expect("no row was written with the other schema");
}

#[tokio::test]
async fn subjects_go_with_their_group() {
    let server = with_group().await;
    server.post(VERSIONS, &weather(&[])).await;
    server
        .post(
            "/subjects/default.weather_1-key/versions",
            &request(&json!("string")),
        )
        .await;
    let id = weather_group().id().clone();
    let deleting =
        server
            .registry
            .delete_feature_group(&id, Deletion::RefuseIfUsed, &Expected::Anything);
    deleting.await.expect("unused");
    let late = weather(&[("temp", json!("float"))]);
    server
        .refused(42_205, Method::POST, VERSIONS, Some(&late))
        .await;
    server.registry.reconcile_once().await.expect("reads");
    assert_eq!(server.get("/subjects?deleted=true").await, json!([]));
}
