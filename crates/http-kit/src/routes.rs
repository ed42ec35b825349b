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
    pub(crate) asks: Option<Content>,
    pub(crate) answers: Option<Content>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Content {
    Json(MakeSchema),
    /// An Arrow stream.
    Rows,
}

impl Operation {
    /// Without a body, answered without one.
    pub fn new(summary: &'static str) -> Self {
        Self {
            summary,
            query: None,
            asks: None,
            answers: None,
        }
    }

    /// With the fields of `Q` as query parameters.
    pub fn query<Q: JsonSchema>(mut self) -> Self {
        self.query = Some(Q::json_schema);
        self
    }

    pub fn asks<B: JsonSchema>(mut self) -> Self {
        self.asks = Some(Content::Json(SchemaGenerator::subschema_for::<B>));
        self
    }

    pub fn asks_rows(mut self) -> Self {
        self.asks = Some(Content::Rows);
        self
    }

    pub fn answers<B: JsonSchema>(mut self) -> Self {
        self.answers = Some(Content::Json(SchemaGenerator::subschema_for::<B>));
        self
    }

    pub fn answers_rows(mut self) -> Self {
        self.answers = Some(Content::Rows);
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
    router: Router<S>,
    routes: Vec<Route>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// None yet.
    pub fn below(path: &'static str) -> Self {
        Self {
            below: path,
            router: Router::new(),
            routes: Vec::new(),
        }
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
        operation: Operation,
    ) -> Self {
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
