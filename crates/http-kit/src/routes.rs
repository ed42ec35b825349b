//! Routes with what they are for: the router and its description are made of the same, so that neither
//! has one that the other lacks.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{self, MethodRouter};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use crate::openapi;

/// The schema of a type, once there is a document to put it into.
pub(crate) type MakeSchema = fn(&mut SchemaGenerator) -> Schema;

/// What a request is for, asks with and is answered with.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    pub(crate) summary: &'static str,
    pub(crate) query: Option<MakeSchema>,
    pub(crate) asks: Content,
    pub(crate) answers: Content,
    pub(crate) is_keyed: bool,
    pub(crate) is_tied: bool,
    pub(crate) is_tagged: bool,
}

/// The types of a body, any of which it may be; none when there is no body.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Content {
    pub(crate) json: Option<MakeSchema>,
    /// An Arrow stream.
    pub(crate) rows: bool,
}

impl Operation {
    /// Without a body, answered without one.
    pub fn new(summary: &'static str) -> Self {
        Self {
            summary,
            query: None,
            asks: Content::default(),
            answers: Content::default(),
            is_keyed: false,
            is_tied: false,
            is_tagged: false,
        }
    }

    /// With the fields of `Q` as query parameters.
    pub fn query<Q: JsonSchema>(mut self) -> Self {
        self.query = Some(Q::json_schema);
        self
    }

    pub fn asks<B: JsonSchema>(mut self) -> Self {
        self.asks.json = Some(SchemaGenerator::subschema_for::<B>);
        self
    }

    pub fn asks_rows(mut self) -> Self {
        self.asks.rows = true;
        self
    }

    pub fn answers<B: JsonSchema>(mut self) -> Self {
        self.answers.json = Some(SchemaGenerator::subschema_for::<B>);
        self
    }

    pub fn answers_rows(mut self) -> Self {
        self.answers.rows = true;
        self
    }

    /// Carried out only while what it changes has one of the tags of `If-Match`.
    pub fn tied(mut self) -> Self {
        self.is_tied = true;
        self
    }

    /// Answered with an `ETag`.
    pub fn tagged(mut self) -> Self {
        self.is_tagged = true;
        self
    }
}

/// One method of one path.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) operation: Operation,
}

/// Routes below a path.
#[derive(Debug)]
pub struct Routes<S> {
    below: &'static str,
    takes_keys: bool,
    router: Router<S>,
    routes: Vec<Route>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// None yet.
    pub fn below(path: &'static str) -> Self {
        Self {
            below: path,
            takes_keys: false,
            router: Router::new(),
            routes: Vec::new(),
        }
    }

    /// From now on a `POST` may have an `Idempotency-Key`, which a layer looks at.
    pub fn taking_keys(mut self) -> Self {
        self.takes_keys = true;
        self
    }

    pub fn get<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add("get", path, routing::get(handler), operation)
    }

    pub fn post<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add("post", path, routing::post(handler), operation)
    }

    pub fn put<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add("put", path, routing::put(handler), operation)
    }

    pub fn patch<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add("patch", path, routing::patch(handler), operation)
    }

    pub fn delete<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add("delete", path, routing::delete(handler), operation)
    }

    fn add(
        mut self,
        method: &'static str,
        path: &str,
        handler: MethodRouter<S>,
        mut operation: Operation,
    ) -> Self {
        operation.is_keyed = self.takes_keys && method == "post";
        let path = format!("{}{path}", self.below);
        self.router = self.router.route(&path, handler);
        self.routes.push(Route {
            method,
            path,
            operation,
        });
        self
    }

    /// The OpenAPI document of all routes.
    pub fn document(&self, title: &str) -> Value {
        openapi::document(title, &self.routes)
    }

    pub fn into_router(self) -> Router<S> {
        self.router
    }
}
