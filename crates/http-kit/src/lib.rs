//! What every HTTP interface of ours shares: how it listens, what is taken out of requests, and failures
//! as `{code, message, details}`.
//!
//! Knows no resource. The entry types are [`Failure`], which handlers fail with, and the extractors of
//! [`extract`].

pub mod extract;
mod failure;
mod pages;
mod serve;

pub use axum::Router;
pub use failure::{Failure, no_such_method, no_such_route};
pub use pages::{ITEMS_MAX, Paging, token};
pub use serve::{Stopping, serve};
