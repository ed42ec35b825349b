//! The API of Confluent's schema registry, as its clients see it.

mod feature_group;
mod settings;

use reqwest::Method;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use twinfold_registry::{Registry, http};

use crate::world::Place;

/// A registry behind an address, for as long as the test runs.
pub struct Server {
    pub registry: Registry,
    url: String,
    client: reqwest::Client,
    _serving: JoinSet<()>,
    _place: Place,
}

impl Server {
    pub async fn start() -> Self {
        let place = Place::new().await;
        let registry = place.registry().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let router = http::router(registry.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            axum::serve(listener, router).await.expect("serves");
        });
        Self {
            registry,
            url: format!("http://{address}"),
            client: reqwest::Client::new(),
            _serving: serving,
            _place: place,
        }
    }

    /// Status and body of an answer.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Json>) -> (u16, Json) {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            let media_type = "application/vnd.schemaregistry.v1+json";
            request = request
                .header("Content-Type", media_type)
                .body(body.to_string());
        }
        let answer = request.send().await.expect("an answer");
        let media_type = &answer.headers()["Content-Type"];
        assert_eq!(media_type, "application/vnd.schemaregistry.v1+json");
        let status = answer.status().as_u16();
        (status, answer.json().await.expect("JSON"))
    }

    pub async fn get(&self, path: &str) -> Json {
        self.fine(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: &Json) -> Json {
        self.fine(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: &Json) -> Json {
        self.fine(Method::PUT, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Json {
        self.fine(Method::DELETE, path, None).await
    }

    async fn fine(&self, method: Method, path: &str, body: Option<&Json>) -> Json {
        let (status, answer) = self.ask(method, path, body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// The message of a failure, which has this code.
    pub async fn refused(
        &self,
        code: u64,
        method: Method,
        path: &str,
        body: Option<&Json>,
    ) -> String {
        let (status, answer) = self.ask(method, path, body).await;
        assert_eq!(answer["error_code"], code, "{path}: {answer}");
        let wanted = if code > 999 { code / 100 } else { code };
        assert_eq!(u64::from(status), wanted, "{path}: {answer}");
        answer["message"].as_str().expect("a message").to_owned()
    }
}

/// A request that brings a schema.
pub fn request(schema: &Json) -> Json {
    json!({"schema": schema.to_string(), "schemaType": "AVRO", "references": []})
}

/// A record with an id and these fields beside it.
pub fn ride(fields: &[(&str, Json)]) -> Json {
    let mut all = vec![json!({"name": "id", "type": "long"})];
    let field = |(name, r#type): &(&str, Json)| json!({"name": name, "type": r#type});
    all.extend(fields.iter().map(field));
    request(&json!({"type": "record", "name": "ride", "fields": all}))
}

fn optional(r#type: &str) -> Json {
    json!(["null", r#type])
}

/// The first version has an id alone, the second a fare too, which may be missing.
async fn with_two_versions() -> Server {
    let server = Server::start().await;
    let fare = json!({"type": "record", "name": "ride", "fields": [
        {"name": "id", "type": "long"},
        {"name": "fare", "type": ["null", "double"], "default": null},
    ]});
    for (schema, id) in [(ride(&[]), 1), (request(&fare), 2)] {
        let answer = server.post("/subjects/rides-value/versions", &schema).await;
        assert_eq!(
            (&answer["id"], &answer["version"]),
            (&json!(id), &json!(id))
        );
    }
    server
}

#[tokio::test]
async fn a_schema_is_registered_once_for_all_subjects() {
    let server = with_two_versions().await;
    let again = server
        .post("/subjects/rides-value/versions", &ride(&[]))
        .await;
    assert_eq!(again["id"], 1);
    let other = server
        .post("/subjects/other%2Fvalue/versions", &ride(&[]))
        .await;
    assert_eq!((&other["id"], &other["version"]), (&json!(1), &json!(1)));

    assert_eq!(
        server.get("/subjects").await,
        json!(["other/value", "rides-value"])
    );
    assert_eq!(
        server.get("/subjects?subjectPrefix=rides").await,
        json!(["rides-value"])
    );
    assert_eq!(
        server.get("/subjects?offset=1&limit=5").await,
        json!(["rides-value"])
    );
    assert_eq!(
        server.get("/subjects/rides-value/versions").await,
        json!([1, 2])
    );
    let first = server.get("/subjects/rides-value/versions/1").await;
    for (name, wanted) in [
        ("subject", json!("rides-value")),
        ("version", json!(1)),
        ("id", json!(1)),
        ("schema", ride(&[])["schema"].clone()),
    ] {
        assert_eq!(first[name], wanted);
    }
    assert_eq!(first.get("schemaType"), None, "Avro is not said");
    for newest in ["latest", "-1", "2"] {
        let path = format!("/subjects/rides-value/versions/{newest}");
        assert_eq!(server.get(&path).await["id"], 2);
    }
}

#[tokio::test]
async fn a_schema_is_found_by_all_its_names() {
    let server = with_two_versions().await;
    server
        .post("/subjects/other%2Fvalue/versions", &ride(&[]))
        .await;
    let first = server.get("/subjects/rides-value/versions/1").await;
    let by_id = server.get("/schemas/ids/1?fetchMaxId=true").await;
    assert_eq!(
        (&by_id["schema"], &by_id["maxId"]),
        (&first["schema"], &json!(2))
    );
    let guid = first["guid"].as_str().expect("a guid");
    let by_guid = server.get(&format!("/schemas/guids/{guid}")).await;
    assert_eq!(by_guid["schema"], first["schema"]);
    let text = server.get("/schemas/ids/1/schema").await;
    assert_eq!(text["name"], "ride");
    assert_eq!(
        server.get("/subjects/rides-value/versions/1/schema").await,
        text
    );
    assert_eq!(
        server.get("/schemas/ids/1/subjects").await,
        json!(["other/value", "rides-value"])
    );
    assert_eq!(
        server.get("/schemas/ids/2/versions").await,
        json!([{"subject": "rides-value", "version": 2}])
    );
    assert_eq!(
        server
            .get("/schemas?latestOnly=true")
            .await
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    let found = server
        .post("/subjects/rides-value?normalize=False", &ride(&[]))
        .await;
    assert_eq!(found, first);
    let referring = "/subjects/rides-value/versions/1/referencedby";
    assert_eq!(server.get(referring).await, json!([]));
}

#[tokio::test]
async fn a_client_may_ask_what_it_talks_to() {
    let server = Server::start().await;
    assert_eq!(server.get("/").await, json!({}));
    assert_eq!(server.get("/schemas/types").await, json!(["AVRO"]));
    assert_eq!(server.get("/contexts").await, json!(["."]));
    let id = server.get("/v1/metadata/id").await;
    assert_eq!(id["scope"]["path"], json!([]));
    let version = server.get("/v1/metadata/version").await;
    assert!(version["version"].is_string());
    server.refused(404, Method::GET, "/subject", None).await;
    server.refused(405, Method::PUT, "/subjects", None).await;
}

#[tokio::test]
async fn what_is_not_there_has_a_code() {
    let server = with_two_versions().await;
    let unknown = ride(&[("tip", optional("double"))]);
    for (code, path) in [
        (40_401, "/subjects/trips-value/versions"),
        (40_401, "/subjects/trips-value/versions/latest"),
        (40_402, "/subjects/rides-value/versions/3"),
        (40_403, "/schemas/ids/99"),
        (40_403, "/schemas/ids/99/versions"),
        (40_403, "/schemas/guids/none"),
        (
            40_403,
            "/subjects/rides-value/metadata?key=owner&value=rides",
        ),
        (40_408, "/config/rides-value"),
        (40_409, "/mode/rides-value"),
        (42_202, "/subjects/rides-value/versions/0"),
        (42_202, "/subjects/rides-value/versions/first"),
        (42_208, "/subjects/__GLOBAL/versions"),
        (404, "/schemas/ids/first"),
    ] {
        server.refused(code, Method::GET, path, None).await;
    }
    for (code, path) in [
        (40_401, "/subjects/trips-value"),
        (40_403, "/subjects/rides-value"),
    ] {
        server
            .refused(code, Method::POST, path, Some(&unknown))
            .await;
    }
}

#[tokio::test]
async fn what_is_no_schema_is_refused() {
    let server = Server::start().await;
    let schema = r#"{"type": "record", "name": "ride", "fields": []}"#;
    let reference = json!({"name": "other", "subject": "other", "version": 1});
    for (code, body, reason) in [
        (42_201, json!({}), "it is empty"),
        (42_201, json!({"schema": "{"}), "it is not JSON"),
        (
            42_201,
            json!({"schema": "\"strnig\""}),
            "type `strnig` is not known",
        ),
        (
            42_201,
            json!({"schema": schema, "schemaType": "JSON"}),
            "wanted AVRO",
        ),
        (
            42_201,
            json!({"schema": schema, "references": [reference]}),
            "not supported",
        ),
        (
            42_201,
            json!({"schema": schema, "ruleSet": {"domainRules": [{"name": "r"}]}}),
            "rules",
        ),
        (
            42_205,
            json!({"schema": schema, "id": 7}),
            "the registry gives the ids",
        ),
        (400, json!({"schema": 7}), "not the JSON that is wanted"),
        (42_209, json!({"schema": "x".repeat(2 << 20)}), ""),
    ] {
        let path = "/subjects/rides-value/versions";
        let message = server.refused(code, Method::POST, path, Some(&body)).await;
        assert!(message.contains(reason), "{message}");
    }
    assert_eq!(server.get("/subjects").await, json!([]));
}

#[tokio::test]
async fn a_deletion_has_two_steps() {
    let server = with_two_versions().await;
    let version = "/subjects/rides-value/versions/1";
    let permanent = "/subjects/rides-value/versions/1?permanent=true";
    server
        .refused(40_407, Method::DELETE, permanent, None)
        .await;
    assert_eq!(server.delete(version).await, 1);
    server.refused(40_406, Method::DELETE, version, None).await;
    server.refused(40_402, Method::GET, version, None).await;
    assert_eq!(
        server.get("/subjects/rides-value/versions").await,
        json!([2])
    );
    let deleted_too = "/subjects/rides-value/versions?deleted=true";
    assert_eq!(server.get(deleted_too).await, json!([1, 2]));
    assert_eq!(
        server.get("/schemas/ids/1").await["schema"],
        ride(&[])["schema"],
        "what was written with it can be read"
    );
    assert_eq!(server.delete(permanent).await, 1);
    server
        .refused(40_403, Method::GET, "/schemas/ids/1", None)
        .await;

    let subject = "/subjects/rides-value";
    let permanent = "/subjects/rides-value?permanent=true";
    server
        .refused(40_405, Method::DELETE, permanent, None)
        .await;
    assert_eq!(server.delete(subject).await, json!([2]));
    server.refused(40_404, Method::DELETE, subject, None).await;
    assert_eq!(server.get("/subjects").await, json!([]));
    assert_eq!(
        server.get("/subjects?deleted=true").await,
        json!(["rides-value"])
    );
    let again = server
        .post("/subjects/rides-value/versions", &ride(&[]))
        .await;
    assert_eq!(
        (&again["id"], &again["version"]),
        (&json!(1), &json!(3)),
        "a schema keeps its id, a deleted version its number"
    );
    server.delete(subject).await;
    assert_eq!(server.delete(permanent).await, json!([2, 3]));
    server.refused(40_401, Method::DELETE, subject, None).await;
}

#[tokio::test]
async fn the_newest_version_with_a_property_is_found() {
    let server = Server::start().await;
    for (owner, field) in [("rides", "a"), ("taxis", "b"), ("rides", "c")] {
        let mut schema = ride(&[]);
        let text = json!({"type": "record", "name": "ride", "fields": [
            {"name": field, "type": "int", "default": 0},
        ]});
        schema["schema"] = json!(text.to_string());
        schema["metadata"] = json!({"properties": {"owner": owner}});
        server.post("/subjects/rides-value/versions", &schema).await;
    }
    for (query, version) in [
        ("", 3),
        ("?key=owner&value=rides", 3),
        ("?key=owner&value=taxis", 2),
    ] {
        let path = format!("/subjects/rides-value/metadata{query}");
        let found = server.get(&path).await;
        assert_eq!(found["version"], version, "{query}");
        assert!(found["metadata"]["properties"]["owner"].is_string());
    }
}

#[tokio::test]
async fn contexts_keep_subjects_apart_and_share_ids() {
    let server = Server::start().await;
    for subject in ["rides-value", ":.staging:rides-value"] {
        let path = format!("/subjects/{subject}/versions");
        let answer = server.post(&path, &ride(&[])).await;
        assert_eq!((&answer["id"], &answer["version"]), (&json!(1), &json!(1)));
    }
    assert_eq!(server.get("/contexts").await, json!([".", ".staging"]));
    let staging = server.get("/subjects?subjectPrefix=%3A.staging%3A").await;
    assert_eq!(staging, json!([":.staging:rides-value"]));
    assert_eq!(
        server.get("/subjects?subjectPrefix=").await,
        json!(["rides-value"])
    );
    let same = server.get("/subjects/%3A.%3Arides-value/versions/1").await;
    assert_eq!(same["subject"], "rides-value");
}
