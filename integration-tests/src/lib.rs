//! The harness of the stories: one platform behind one handle, and readers for what it holds.
//!
//! A story knows only [`Platform`](twinfold_client::Platform), so that it can run on any deployment.

mod deployment;
mod look;
mod processes;

pub use deployment::{Deployment, real_engines};
pub use look::{WAIT_MAX, column_i64, history, insert_and_wait, latest, read_all};
pub use processes::{Client, Processes, ServiceProcess};
