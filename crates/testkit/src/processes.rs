use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use uuid::Uuid;

use crate::eventually;

/// The setting that says where a service answers.
pub const HTTP_ADDRESS: &str = "HTTP__ADDRESS";

/// Long enough for a service to open its stores on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);
/// A process that stands still takes connections and says nothing.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// One service as a process of its own, which can be ended and started again. It is killed when it is
/// dropped.
#[derive(Debug)]
pub struct ServiceProcess {
    name: &'static str,
    settings: Vec<(&'static str, String)>,
    admin: SocketAddr,
    log: Option<PathBuf>,
    child: Option<Child>,
}

/// What a process is told without being asked.
#[derive(Debug, Clone, Copy)]
pub enum Signal {
    /// It does nothing until told to continue, and keeps its connections.
    Stop,
    Continue,
}

impl ServiceProcess {
    /// A service that runs once it is started. Settings are named as `SECTION__KEY`; what it logs is appended
    /// to a file, if one is named.
    pub fn new(
        name: &'static str,
        settings: Vec<(&'static str, String)>,
        log: Option<PathBuf>,
    ) -> Self {
        Self {
            name,
            settings,
            admin: free_address(),
            log,
            child: None,
        }
    }

    /// Another one with the same settings, at ports of its own.
    pub fn twin(&self) -> Self {
        let mut settings = self.settings.clone();
        for (key, value) in &mut settings {
            if *key == HTTP_ADDRESS {
                *value = free_address().to_string();
            }
        }
        Self::new(self.name, settings, None)
    }

    /// Where it answers.
    ///
    /// # Panics
    ///
    /// When it is a service that does not.
    pub fn url(&self) -> String {
        let mut settings = self.settings.iter();
        let address = settings.find(|(key, _)| *key == HTTP_ADDRESS);
        format!("http://{}", address.expect("an HTTP port").1)
    }

    /// Starts the process and waits until it is ready.
    pub async fn start(&mut self) {
        let mut command = Command::new(program(self.name));
        command
            .env("TWINFOLD__PROCESS__ADMIN_ADDRESS", self.admin.to_string())
            .env("TWINFOLD__PROCESS__LOG_FILTER", "warn,scylla=error")
            .stdin(Stdio::null());
        for (key, value) in &self.settings {
            command.env(format!("TWINFOLD__{key}"), value);
        }
        if let Some(log) = &self.log {
            let opened = File::options().create(true).append(true).open(log);
            command.stderr(opened.expect("a file for the log"));
        }
        let child = command.spawn();
        self.child = Some(child.unwrap_or_else(|error| {
            panic!(
                "{}: {error}; `cargo build --workspace --bins` makes it",
                self.name
            )
        }));
        eventually(START_MAX, || async { self.ask("/readyz").is_some() }).await;
    }

    /// What the system calls it.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// What the admin port answers; `None` when that is no success.
    pub fn ask(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect_timeout(&self.admin, ANSWER_MAX).ok()?;
        stream.set_read_timeout(Some(ANSWER_MAX)).ok()?;
        let request = format!("GET {path} HTTP/1.0\r\nhost: {}\r\n\r\n", self.admin);
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let is_success = head.lines().next()?.contains(" 200 ");
        is_success.then(|| body.to_owned())
    }

    /// # Panics
    ///
    /// When it does not run.
    pub fn signal(&self, signal: Signal) {
        let name = match signal {
            Signal::Stop => "-STOP",
            Signal::Continue => "-CONT",
        };
        send(&[name, &self.pid().to_string()]);
    }

    /// As the machine would when it loses power: nothing is told.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it has ended");
        }
    }

    /// Ends it in the orderly way.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        send(&[&child.id().to_string()]);
        let ended = child.wait().expect("it has ended");
        assert!(ended.success(), "{}: {ended}", self.name);
    }
}

impl Drop for ServiceProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

fn send(arguments: &[&str]) {
    let sent = Command::new("kill").args(arguments).status();
    let is_sent = sent.is_ok_and(|status| status.success());
    assert!(is_sent, "kill {}", arguments.join(" "));
}

/// A program of ours, which stands in the target folder. So do benchmarks; tests stand in `deps` there.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this program has a path");
    in_target_folder_of(&own, name)
}

fn in_target_folder_of(own: &Path, name: &str) -> PathBuf {
    let mut folders = own.ancestors().skip(1);
    let target = folders.find(|folder| !folder.ends_with("deps"));
    target.expect("a program stands in a folder").join(name)
}

/// None of those that the system gives to clients: a service that was killed wants its port back.
pub fn free_address() -> SocketAddr {
    const FIRST_PORT: u16 = 10_000;
    const PORTS: u16 = 22_000;
    const TRIES_MAX: usize = 1_000;
    let candidates = (0..TRIES_MAX).map(|_| {
        let (random, _) = Uuid::new_v4().as_u64_pair();
        FIRST_PORT + (random % u64::from(PORTS)) as u16
    });
    let mut free = candidates.filter_map(|port| {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        probe.local_addr().ok()
    });
    free.next().expect("a free port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_and_benchmarks_find_the_same_programs() {
        for own in ["/target/debug/deps/faults-1f", "/target/debug/freshness"] {
            let found = in_target_folder_of(Path::new(own), "twinfold-api");
            assert_eq!(found, Path::new("/target/debug/twinfold-api"));
        }
    }
}
