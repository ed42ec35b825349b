//! A service from its command line to its exit code.
//!
//! The order is always the same: read the configuration and tell every fault of it at once, open the
//! admin port, open the stores, be ready, work until told to stop, be ready no more, take nothing more in,
//! finish what is under way, end.

use std::error::Error;
use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::admin::{self, Admin, Readiness};
use crate::{
    ConfigErrors, Deadline, Env, Fault, Strings, TaskError, TaskGroup, config, fault, telemetry,
};

/// What goes wrong in a service that nobody handles.
pub type Failure = Box<dyn Error + Send + Sync>;

/// The exit code of a process whose configuration is not valid: `EX_USAGE` of BSD's sysexits.
pub const BAD_CONFIGURATION: u8 = 64;
/// The exit code of a process that was told twice to end: as if the signal had ended it.
const TOLD_TWICE: i32 = 128 + 15;

/// How long a health check waits for an answer.
const HEALTHCHECK_MAX: Duration = Duration::from_secs(5);
/// How long stores have to close, also when the tasks have used up the time.
pub const CLOSE_MIN: Duration = Duration::from_secs(1);
/// How long the admin port has to end after all else has.
const ADMIN_END_MAX: Duration = Duration::from_secs(1);

/// The sections that the configuration of every service has.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessConfig {
    /// Liveness, readiness and metrics are answered here.
    pub admin_address: SocketAddr,
    /// Which lines go to standard error.
    pub log_filter: String,
    /// How long it goes on as before once it is not ready any more.
    pub drain_ms: u64,
    /// How long work under way may take to end after that, and stores to close.
    pub shutdown_ms_max: u64,
}

/// A service.
pub trait Service: Sized + Send {
    /// As the binary is called.
    const NAME: &'static str;
    /// Every setting with its default.
    const DEFAULT_TOML: &'static str;
    type Config: DeserializeOwned + Send;

    fn process(config: &Self::Config) -> &ProcessConfig;

    /// What the types of the configuration cannot say of it. Nothing is opened to find out.
    fn faults(_config: &Self::Config) -> Vec<Fault> {
        Vec::new()
    }

    /// Opens ports and stores, then starts to work in tasks of the group.
    fn start(
        config: Self::Config,
        tasks: TaskGroup,
    ) -> impl Future<Output = Result<Self, Failure>> + Send;

    /// Brings what the service stores to the newest format. Most store nothing that has one of their own.
    fn migrate(_config: Self::Config) -> impl Future<Output = Result<(), Failure>> + Send {
        std::future::ready(Ok(()))
    }

    /// After the tasks have ended: closes what was opened, each thing in a task of this group, so that
    /// whatever becomes of one, the others are closed too.
    fn close(self, closing: &TaskGroup);
}

#[derive(Debug, Parser)]
struct Arguments {
    /// A file in TOML with the settings that are not to have their defaults.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Works until told to stop; also when no command is given.
    Run,
    /// Brings what the service stores to the newest format, and ends.
    Migrate,
    /// Asks the running service whether it is ready, and ends: 0 when it is.
    Healthcheck,
    /// Prints every setting with its default.
    Defaults,
}

/// Runs a service.
pub fn main<S: Service>() -> ExitCode {
    let arguments = Arguments::parse();
    match run::<S>(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}: {failure}", S::NAME);
            // To start again would not help.
            match failure.is::<ConfigErrors>() {
                true => ExitCode::from(BAD_CONFIGURATION),
                false => ExitCode::FAILURE,
            }
        }
    }
}

/// The configuration of a service: its defaults, a file, the variables of `env`.
pub fn configuration<S: Service>(
    file: Option<&Path>,
    env: &dyn Strings,
) -> Result<S::Config, ConfigErrors> {
    let check = |config: &S::Config| {
        let mut faults = S::faults(config);
        let filter = telemetry::check(&S::process(config).log_filter);
        faults.extend(fault("process.log_filter", filter));
        faults
    };
    config::load(S::DEFAULT_TOML, file, env, "TWINFOLD", check)
}

fn run<S: Service>(arguments: &Arguments) -> Result<(), Failure> {
    let command = arguments.command.unwrap_or(Command::Run);
    if let Command::Defaults = command {
        print!("{}", S::DEFAULT_TOML);
        return Ok(());
    }
    let config = configuration::<S>(arguments.config.as_deref(), &Env)?;
    let process = S::process(&config).clone();
    if let Command::Healthcheck = command {
        return healthcheck(process.admin_address);
    }
    telemetry::init(&process.log_filter)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name(S::NAME)
        .build()?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Migrate => S::migrate(config).await,
            _ => work::<S>(config, &process).await,
        }
    });
    // What still runs has been named, and had its time.
    runtime.shutdown_background();
    outcome
}

async fn work<S: Service>(config: S::Config, process: &ProcessConfig) -> Result<(), Failure> {
    let metrics = admin::collect_metrics()?;
    let readiness = Readiness::not_yet("starting");
    let admin = Admin::bind(process.admin_address).await?;
    info!(service = S::NAME, admin = %admin.address()?, "starting");
    // Ends last, so that the end can be watched too.
    let admin_tasks = answer(admin, readiness.clone(), metrics);
    let stop = stop_signal()?;
    let tasks = TaskGroup::new(Handle::current());
    let service = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        started = S::start(config, tasks.clone()) => started?,
    };
    readiness.set(None);
    info!(service = S::NAME, "ready");
    let failed = until_end(&stop, &tasks, &readiness, process).await;
    info!(service = S::NAME, "stopping");
    let deadline = Deadline::after(Duration::from_millis(process.shutdown_ms_max));
    let ended = tasks.shutdown(deadline.left()).await;
    let closing = TaskGroup::new(Handle::current());
    service.close(&closing);
    let closed = closing.shutdown(deadline.left().max(CLOSE_MIN)).await;
    let admin_ended = admin_tasks.shutdown(ADMIN_END_MAX).await;
    if let Some(failure) = failed {
        error!(service = S::NAME, %failure, "a task failed");
        return Err(failure.into());
    }
    ended?;
    closed?;
    Ok(admin_ended?)
}

fn answer(admin: Admin, readiness: Readiness, metrics: PrometheusHandle) -> TaskGroup {
    let tasks = TaskGroup::new(Handle::current());
    tasks.spawn("admin", |shutdown| {
        admin.serve(readiness, metrics, shutdown)
    });
    tasks
}

/// Returns when the service is to end, because it was told to or because a task of it failed.
async fn until_end(
    stop: &CancellationToken,
    tasks: &TaskGroup,
    readiness: &Readiness,
    process: &ProcessConfig,
) -> Option<TaskError> {
    let told = async {
        stop.cancelled().await;
        // Ports stay open while those that send requests here learn that it is not ready any more.
        readiness.set(Some("stopping".to_owned()));
        tokio::time::sleep(Duration::from_millis(process.drain_ms)).await;
    };
    let failed = tokio::select! {
        () = told => None,
        failure = tasks.failed() => Some(failure),
    };
    readiness.set(Some("stopping".to_owned()));
    failed
}

/// Cancelled when the process is asked to end; asked again, it ends at once. Call within a tokio runtime.
pub fn stop_signal() -> Result<CancellationToken, Failure> {
    let token = CancellationToken::new();
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let asked = token.clone();
    tokio::spawn(async move {
        told_to_end(&mut terminate, &mut interrupt).await;
        asked.cancel();
        told_to_end(&mut terminate, &mut interrupt).await;
        end_at_once();
    });
    Ok(token)
}

async fn told_to_end(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever asks twice does not want to wait for destructors"
)]
fn end_at_once() {
    warn!("told to end a second time: ending at once");
    std::process::exit(TOLD_TWICE);
}

/// Without a runtime and a client: it is run every few seconds, for ever.
fn healthcheck(address: SocketAddr) -> Result<(), Failure> {
    let mut stream = TcpStream::connect_timeout(&address, HEALTHCHECK_MAX)?;
    stream.set_read_timeout(Some(HEALTHCHECK_MAX))?;
    write!(stream, "GET /readyz HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer
        .lines()
        .next()
        .is_some_and(|line| line.contains(" 200 "))
    {
        return Ok(());
    }
    let reason = answer.lines().last().unwrap_or("no answer");
    Err(format!("not ready: {reason}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draining_for_ever() -> ProcessConfig {
        ProcessConfig {
            admin_address: SocketAddr::from(([127, 0, 0, 1], 0)),
            log_filter: "info".to_owned(),
            drain_ms: u64::MAX,
            shutdown_ms_max: 0,
        }
    }

    #[tokio::test]
    async fn work_goes_on_after_it_is_not_ready_any_more() {
        let (stop, tasks) = (CancellationToken::new(), TaskGroup::new(Handle::current()));
        let readiness = Readiness::not_yet("starting");
        readiness.set(None);
        let seen = readiness.clone();
        tasks.spawn("worker", |token| async move {
            while seen.get().is_none() {
                tokio::task::yield_now().await;
            }
            assert!(!token.is_cancelled());
            Err(std::io::Error::other("no disk"))
        });
        stop.cancel();
        let failed = until_end(&stop, &tasks, &readiness, &draining_for_ever()).await;
        let failed = failed.expect("only that ends the wait").to_string();
        assert_eq!(failed, "task `worker` failed: no disk");
    }

    #[tokio::test]
    async fn a_service_whose_task_failed_is_not_ready() {
        let (stop, tasks) = (CancellationToken::new(), TaskGroup::new(Handle::current()));
        let readiness = Readiness::not_yet("starting");
        readiness.set(None);
        tasks.spawn("worker", |_| async {
            Err(std::io::Error::other("no disk"))
        });
        let failed = until_end(&stop, &tasks, &readiness, &draining_for_ever()).await;
        assert!(failed.is_some());
        assert_eq!(readiness.get().as_deref(), Some("stopping"));
    }
}
