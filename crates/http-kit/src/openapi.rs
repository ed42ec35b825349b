//! Routes as an OpenAPI 3.1 document, whose schemas are those of the bodies themselves.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use twinfold_wire::arrow_stream;
use twinfold_wire::rest::ErrorBody;

use crate::routes::{Content, Operation, Route};

const SCHEMAS: &str = "/components/schemas";

pub(crate) fn document(title: &str, routes: &[Route]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for route in routes {
        let methods = paths.entry(route.path.clone()).or_insert_with(|| json!({}));
        methods[route.method] = operation(&mut generator, route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": title, "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {"schemas": generator.take_definitions(true)},
    })
}

fn operation(generator: &mut SchemaGenerator, route: &Route) -> Value {
    let operation = &route.operation;
    let mut parameters = path_parameters(&route.path);
    if let Some(query) = operation.query {
        parameters.extend(query_parameters(query(generator)));
    }
    parameters.extend(header_parameters(operation));
    let failure = generator.subschema_for::<ErrorBody>();
    let (status, mut answer) = match media(generator, operation.answers) {
        None => ("204", json!({"description": "Done."})),
        Some(content) => ("200", json!({"description": "Done.", "content": content})),
    };
    if operation.is_tagged {
        let tag = json!({"description": "Names what is shown.", "schema": {"type": "string"}});
        answer["headers"] = json!({"ETag": tag});
    }
    let mut responses = Map::new();
    responses.insert(status.to_owned(), answer);
    let content = json!({"application/json": {"schema": failure}});
    let failed = json!({"description": "It failed.", "content": content});
    responses.insert("default".to_owned(), failed);
    let mut described = json!({
        "operationId": operation_id(route.method, &route.path),
        "summary": operation.summary,
        "parameters": parameters,
        "responses": responses,
    });
    if let Some(content) = media(generator, operation.asks) {
        described["requestBody"] = json!({"required": true, "content": content});
    }
    described
}

/// Method and path as one word: `get_v1_projects_project`.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    std::iter::once(method)
        .chain(words)
        .collect::<Vec<_>>()
        .join("_")
}

/// `None` without a body.
fn media(generator: &mut SchemaGenerator, content: Content) -> Option<Value> {
    let mut types = Map::new();
    if let Some(schema) = content.json {
        let schema = schema(generator);
        types.insert("application/json".to_owned(), json!({"schema": schema}));
    }
    if content.rows {
        types.insert(arrow_stream::CONTENT_TYPE.to_owned(), json!({}));
    }
    (!types.is_empty()).then_some(Value::Object(types))
}

fn header_parameters(operation: &Operation) -> Vec<Value> {
    let headers = [
        (
            operation.is_tied,
            "If-Match",
            "Tags, one of which has to be the `ETag` of what is changed; otherwise 412.",
        ),
        (
            operation.is_keyed,
            "Idempotency-Key",
            "Any text. Sent again with the same one, the request is answered as the first time.",
        ),
    ];
    let headers = headers.into_iter().filter(|(is_there, ..)| *is_there);
    let headers = headers.map(|(_, name, description)| {
        json!({
            "name": name, "in": "header", "required": false, "description": description,
            "schema": {"type": "string"},
        })
    });
    headers.collect()
}

/// Each `{name}` of a path: versions and ids are numbers, all others names.
fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?;
        name.strip_suffix('}')
    });
    let parameter = |name: &str| {
        let kind = match name {
            "version" | "id" => "integer",
            _ => "string",
        };
        json!({"name": name, "in": "path", "required": true, "schema": {"type": kind}})
    };
    names.map(parameter).collect()
}

/// The fields of a type as query parameters.
fn query_parameters(schema: Schema) -> Vec<Value> {
    let mut schema = schema.to_value();
    let required = schema["required"].take();
    let required = required.as_array().cloned().unwrap_or_default();
    let Value::Object(fields) = schema["properties"].take() else {
        return Vec::new();
    };
    let fields = fields.into_iter().map(|(name, mut field)| {
        let description = field
            .as_object_mut()
            .and_then(|field| field.remove("description"));
        let is_required = required.iter().any(|required| *required == name);
        let mut parameter = json!({
            "name": name, "in": "query", "required": is_required, "schema": field,
        });
        if let Some(description) = description {
            parameter["description"] = description;
        }
        parameter
    });
    fields.collect()
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use schemars::JsonSchema;
    use twinfold_wire::rest::ProjectBody;

    use super::*;
    use crate::Routes;

    /// What may be asked.
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its description is looked at")]
    struct Asked {
        /// How many.
        limit: u32,
        after: Option<u32>,
    }

    async fn handler() -> StatusCode {
        StatusCode::OK
    }

    #[test]
    fn a_route_is_described_with_its_parameters_and_bodies() {
        let show = Operation::new("One")
            .query::<Asked>()
            .answers::<ProjectBody>()
            .tagged();
        let routes = Routes::<()>::below("/v1")
            .get("/projects/{project}/{version}", handler, show)
            .taking_keys()
            .post(
                "/projects/{project}/{version}",
                handler,
                Operation::new("Rows in").asks::<ProjectBody>().asks_rows(),
            )
            .put("/one-thing", handler, Operation::new("Put").tied());
        let document = routes.document("Things");
        let methods = &document["paths"]["/v1/projects/{project}/{version}"];
        let parameters = methods["get"]["parameters"].as_array().expect("some");
        let mut found: Vec<_> = parameters
            .iter()
            .map(|parameter| (&parameter["name"], &parameter["in"], &parameter["required"]))
            .map(|(name, place, required)| json!([name, place, required]))
            .collect();
        let wanted = json!([
            ["project", "path", true],
            ["version", "path", true],
            ["after", "query", false],
            ["limit", "query", true],
        ]);
        found.sort_by_key(|parameter| (parameter[1].to_string(), parameter[0].to_string()));
        assert_eq!(json!(found), wanted);
        let content = &methods["get"]["responses"]["200"]["content"];
        let reference = &content["application/json"]["schema"]["$ref"];
        assert_eq!(reference, "#/components/schemas/ProjectBody");
        assert!(document["components"]["schemas"]["ErrorBody"].is_object());
        assert!(methods["post"]["responses"]["204"].is_object());
        let rows = &methods["post"]["requestBody"]["content"];
        assert!(rows[arrow_stream::CONTENT_TYPE].is_object());
        assert!(rows["application/json"].is_object());
        let put = &document["paths"]["/v1/one-thing"]["put"];
        for (operation, id, header) in [
            (&methods["get"], "get_v1_projects_project_version", None),
            (
                &methods["post"],
                "post_v1_projects_project_version",
                Some("Idempotency-Key"),
            ),
            (put, "put_v1_one_thing", Some("If-Match")),
        ] {
            assert_eq!(operation["operationId"], id);
            let parameters = operation["parameters"].as_array().expect("a list");
            let mut headers = parameters.iter().filter(|found| found["in"] == "header");
            let found = headers.next().and_then(|found| found["name"].as_str());
            assert_eq!((found, headers.next()), (header, None), "{id}");
        }
        let headers = &methods["get"]["responses"]["200"]["headers"];
        assert!(headers["ETag"].is_object());
        assert!(put["responses"]["204"]["headers"].is_null());
    }
}
