//! The harness of the stories: one platform behind one handle, and readers for what it holds.
//!
//! A story knows only [`Platform`](twinfold_client::Platform), so that it can run on any deployment.

mod deployment;
mod look;
mod network;
mod own_servers;
mod processes;
mod s3_proxy;

use std::time::Duration;

pub use deployment::{Deployment, engines_of, real_engines};
pub use look::{WAIT_MAX, column_i64, history, insert_and_wait, latest, read_all};
pub use network::{Link, LinkTrouble, Network};
pub use own_servers::{End, OwnServers};
pub use processes::{Client, Processes};
pub use s3_proxy::{S3Proxy, S3Trouble};

/// How long a fault lasts. What follows is never waited for like this, but until it is there.
pub async fn lasting(duration: Duration) {
    tokio::time::sleep(duration).await;
}
