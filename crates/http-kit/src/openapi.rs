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
        methods[route.method] = operation(&mut generator, &route.path, &route.operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": title, "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {"schemas": generator.take_definitions(true)},
    })
}

fn operation(generator: &mut SchemaGenerator, path: &str, operation: &Operation) -> Value {
    let mut parameters = path_parameters(path);
    if let Some(query) = operation.query {
        parameters.extend(query_parameters(query(generator)));
    }
    let failure = generator.subschema_for::<ErrorBody>();
    let mut responses = Map::new();
    let (status, answer) = match operation.answers {
        None => ("204", json!({"description": "Done."})),
        Some(content) => {
            let content = media(generator, content);
            ("200", json!({"description": "Done.", "content": content}))
        }
    };
    responses.insert(status.to_owned(), answer);
    let content = json!({"application/json": {"schema": failure}});
    let failed = json!({"description": "It failed.", "content": content});
    responses.insert("default".to_owned(), failed);
    let mut described = json!({
        "summary": operation.summary,
        "parameters": parameters,
        "responses": responses,
    });
    if let Some(content) = operation.asks {
        let content = media(generator, content);
        described["requestBody"] = json!({"required": true, "content": content});
    }
    described
}

fn media(generator: &mut SchemaGenerator, content: Content) -> Value {
    match content {
        Content::Json(schema) => json!({"application/json": {"schema": schema(generator)}}),
        Content::Rows => {
            let mut types = Map::new();
            types.insert(arrow_stream::CONTENT_TYPE.to_owned(), json!({}));
            Value::Object(types)
        }
    }
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
            .answers::<ProjectBody>();
        let routes = Routes::<()>::below("/v1")
            .get("/projects/{project}/{version}", handler, show)
            .post(
                "/projects/{project}/{version}",
                handler,
                Operation::new("Rows in").asks_rows(),
            );
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
    }
}
