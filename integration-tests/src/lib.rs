//! Stories, and their harness: one platform behind one handle, and readers for what it holds.
//!
//! A story knows only [`Platform`](twinfold_client::Platform), so that it can run on any deployment. The
//! [`stories`] are told on every [`Way`] to run one.

mod deployment;
mod look;
mod network;
mod own_servers;
mod processes;
mod s3_proxy;
pub mod stories;

use std::time::Duration;

pub use deployment::{Deployment, Way, engines_of, real_engines};
pub use look::{WAIT_MAX, column_i64, history, insert_and_wait, latest, read_all};
pub use network::{Link, LinkTrouble, Network};
pub use own_servers::{End, OwnServers};
pub use processes::{Client, Processes};
pub use s3_proxy::{S3Proxy, S3Trouble};

/// How long a fault lasts. What follows is never waited for like this, but until it is there.
pub async fn lasting(duration: Duration) {
    tokio::time::sleep(duration).await;
}
