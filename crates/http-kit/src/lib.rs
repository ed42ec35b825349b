//! What every HTTP interface of ours shares: how it listens, what is taken out of requests, failures as
//! `{code, message, details}`, and its description.
//!
//! Serves no resource. The entry types are [`Routes`], of which a router and its OpenAPI document are made,
//! [`Failure`], which handlers fail with, and the extractors of [`extract`].

mod budget;
pub mod extract;
mod failure;
mod forced;
mod openapi;
mod pages;
mod preconditions;
mod routes;
mod serve;

pub use axum::Router;
pub use budget::{Budget, Room};
pub use failure::{Failure, no_such_method, no_such_route};
pub use forced::Forced;
pub use pages::{Paging, after_position, token};
pub use preconditions::{Tagged, expected};
pub use routes::{Operation, Routes};
pub use serve::{Stopping, serve};
