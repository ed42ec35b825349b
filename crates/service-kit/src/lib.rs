//! What every process needs and no domain knows: a clock, named tasks, configuration, telemetry.
//!
//! Knows no crate of the domain, so that everything may stand on it. The only place that reads the
//! clock, spawns tasks or looks at the environment. The entry type is [`TaskGroup`].

pub mod admin;
pub mod background_runtime;
mod causes;
pub mod clock;
pub mod config;
pub mod metrics;
pub mod process;
mod store_url;
pub mod task_group;
pub mod telemetry;

pub use background_runtime::BackgroundRuntime;
pub use causes::with_causes;
pub use clock::{Clock, Deadline, ManualClock, SystemClock};
pub use config::{ConfigErrors, Env, Fault, Strings, fault};
pub use store_url::{NotHttp, StoreUrl, UrlConfig};
pub use task_group::{Task, TaskError, TaskGroup};
