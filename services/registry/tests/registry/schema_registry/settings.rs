//! Compatibility and modes.

use reqwest::Method;
use serde_json::json;

use super::{Server, optional, ride, with_two_versions};

#[tokio::test]
async fn the_nearest_compatibility_counts() {
    let server = with_two_versions().await;
    let config = "/config/rides-value";
    let effective = "/config/rides-value?defaultToGlobal=true";
    assert_eq!(
        server.get("/config").await,
        json!({"compatibilityLevel": "BACKWARD"})
    );
    assert_eq!(
        server.get(effective).await,
        json!({"compatibilityLevel": "BACKWARD"})
    );
    let set = server
        .put("/config", &json!({"compatibility": "full"}))
        .await;
    assert_eq!(set, json!({"compatibility": "FULL"}));
    assert_eq!(
        server.get(effective).await,
        json!({"compatibilityLevel": "FULL"})
    );
    server.put(config, &json!({"compatibility": "NONE"})).await;
    assert_eq!(
        server.get(config).await,
        json!({"compatibilityLevel": "NONE"})
    );
    assert_eq!(
        server.delete(config).await,
        json!({"compatibilityLevel": "NONE"})
    );
    server.refused(40_408, Method::GET, config, None).await;
    server.refused(40_401, Method::DELETE, config, None).await;
    let staging = json!({"compatibility": "FORWARD"});
    server.put("/config/:.staging:", &staging).await;
    let inherited = server
        .get("/config/:.staging:rides?defaultToGlobal=true")
        .await;
    assert_eq!(inherited, json!({"compatibilityLevel": "FORWARD"}));
    assert_eq!(
        server.delete("/config").await,
        json!({"compatibilityLevel": "FULL"})
    );
    assert_eq!(
        server.get("/config").await,
        json!({"compatibilityLevel": "BACKWARD"})
    );

    for (code, body) in [
        (42_203, json!({"compatibility": "SIDEWAYS"})),
        (42_203, json!({})),
        (
            42_205,
            json!({"compatibility": "NONE", "compatibilityGroup": "major"}),
        ),
    ] {
        server.refused(code, Method::PUT, config, Some(&body)).await;
    }
}

#[tokio::test]
async fn versions_follow_each_other_as_the_compatibility_says() {
    let required = || ride(&[("fare", json!("double")), ("tip", json!("double"))]);
    let narrower = || ride(&[("fare", json!("double"))]);
    let unrelated = || ride(&[("fare", json!("string"))]);
    for (level, request, wanted) in [
        ("BACKWARD", required(), false),
        ("BACKWARD", ride(&[]), true),
        ("FORWARD", required(), true),
        ("FORWARD", unrelated(), false),
        ("FORWARD", narrower(), true),
        ("FULL", narrower(), false),
        ("FULL", ride(&[("tip", optional("int"))]), false),
        ("NONE", unrelated(), true),
    ] {
        let server = with_two_versions().await;
        // Otherwise the schema is the same as the first.
        let path = "/subjects/rides-value/versions/1";
        server.delete(path).await;
        server
            .put("/config/rides-value", &json!({"compatibility": level}))
            .await;
        for against in ["versions", "versions/latest", "versions/2"] {
            let check = format!("/compatibility/subjects/rides-value/{against}?verbose=true");
            let answer = server.post(&check, &request).await;
            assert_eq!(
                answer["is_compatible"], wanted,
                "{level} {request} {answer}"
            );
            let messages = answer["messages"].as_array().expect("verbose");
            assert_eq!(messages.is_empty(), wanted);
        }
        let path = "/subjects/rides-value/versions";
        if wanted {
            server.post(path, &request).await;
        } else {
            server
                .refused(409, Method::POST, path, Some(&request))
                .await;
        }
    }
}

/// A field that comes back with another type goes with the newest version and not with the one before.
#[tokio::test]
async fn transitive_levels_look_at_all_versions() {
    for (level, wanted) in [("BACKWARD", true), ("BACKWARD_TRANSITIVE", false)] {
        let server = Server::start().await;
        let path = "/subjects/rides-value/versions";
        server
            .put("/config/rides-value", &json!({"compatibility": level}))
            .await;
        server.post(path, &ride(&[("tip", json!("string"))])).await;
        server.post(path, &ride(&[])).await;
        let mut back = ride(&[]);
        let text = json!({"type": "record", "name": "ride", "fields": [
            {"name": "id", "type": "long"},
            {"name": "tip", "type": "double", "default": 0},
        ]});
        back["schema"] = json!(text.to_string());
        let check = "/compatibility/subjects/rides-value/versions";
        let answer = server.post(check, &back).await;
        assert_eq!(answer, json!({"is_compatible": wanted}));
        if !wanted {
            let message = server.refused(409, Method::POST, path, Some(&back)).await;
            assert!(message.contains("version 1 at /tip"), "{message}");
        }
    }
}

#[tokio::test]
async fn a_check_names_what_is_not_there() {
    let server = with_two_versions().await;
    let check = |path: &str| format!("/compatibility/subjects/{path}");
    let nowhere = server
        .post(&check("trips-value/versions/latest"), &ride(&[]))
        .await;
    assert_eq!(nowhere["is_compatible"], true);
    for (code, path) in [
        (40_401, "trips-value/versions/1"),
        (40_402, "rides-value/versions/9"),
        (42_202, "rides-value/versions/0"),
    ] {
        let path = check(path);
        server
            .refused(code, Method::POST, &path, Some(&ride(&[])))
            .await;
    }
    let no_schema = json!({"schema": "{"});
    let path = check("rides-value/versions/latest");
    server
        .refused(42_201, Method::POST, &path, Some(&no_schema))
        .await;
}

#[tokio::test]
async fn what_is_read_only_takes_no_changes() {
    let server = with_two_versions().await;
    assert_eq!(server.get("/mode").await, json!({"mode": "READWRITE"}));
    let mode = json!({"mode": "READONLY"});
    assert_eq!(
        server.put("/mode/rides-value?force=False", &mode).await,
        mode
    );
    assert_eq!(server.get("/mode/rides-value").await, mode);
    let registration = "/subjects/rides-value/versions";
    let known = server.post(registration, &ride(&[])).await;
    assert_eq!(known["id"], 1, "what is known is no change");
    let new = ride(&[("tip", optional("int"))]);
    let level = json!({"compatibility": "NONE"});
    for (method, path, body) in [
        (Method::POST, registration, Some(&new)),
        (Method::DELETE, "/subjects/rides-value", None),
        (Method::DELETE, "/subjects/rides-value/versions/1", None),
        (Method::PUT, "/config/rides-value", Some(&level)),
    ] {
        server.refused(42_205, method, path, body).await;
    }
    assert_eq!(server.delete("/mode/rides-value").await, mode);
    server
        .refused(40_401, Method::DELETE, "/mode/rides-value", None)
        .await;

    let overriding = json!({"mode": "READONLY_OVERRIDE"});
    server
        .put("/mode/rides-value", &json!({"mode": "READWRITE"}))
        .await;
    server.put("/mode", &overriding).await;
    server
        .refused(42_205, Method::POST, registration, Some(&new))
        .await;
    let importing = json!({"mode": "IMPORT"});
    server
        .refused(42_204, Method::PUT, "/mode", Some(&importing))
        .await;
}
