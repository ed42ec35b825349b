use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use twinfold_testkit::eventually;

/// Long enough for a service to open its stores on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);

/// A service as a process of its own. It is killed when it is dropped.
#[derive(Debug)]
pub struct Service {
    name: &'static str,
    admin: SocketAddr,
    child: Child,
}

impl Service {
    /// Starts the process and waits until it is ready. Settings are named as `SECTION__KEY`.
    pub async fn start(name: &'static str, settings: &[(&str, String)]) -> Self {
        let admin = free_address();
        let mut command = Command::new(program(name));
        command
            .env("TWINFOLD__PROCESS__ADMIN_ADDRESS", admin.to_string())
            .env("TWINFOLD__PROCESS__LOG_FILTER", "warn,scylla=error")
            .stdin(Stdio::null());
        for (key, value) in settings {
            command.env(format!("TWINFOLD__{key}"), value);
        }
        let child = command.spawn();
        let service = Self {
            name,
            admin,
            child: child.unwrap_or_else(|error| panic!("{name}: {error}")),
        };
        eventually(START_MAX, || async { service.ask("/readyz").is_some() }).await;
        service
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the admin port answers; `None` when that is no success.
    pub fn ask(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.admin).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.0\r\nhost: {}\r\n\r\n",
            self.admin
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let is_success = head.lines().next()?.contains(" 200 ");
        is_success.then(|| body.to_owned())
    }

    /// Ends it in the orderly way.
    pub fn stop(mut self) {
        let asked = Command::new("kill").arg(self.pid().to_string()).status();
        assert!(asked.is_ok_and(|status| status.success()), "kill");
        let ended = self.child.wait().expect("it has ended");
        assert!(ended.success(), "{}: {ended}", self.name);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Most often it has ended already.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// A program that stands beside this one: all are built into the same folder.
pub(crate) fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this program has a path");
    own.with_file_name(name)
}

pub(crate) fn free_address() -> SocketAddr {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    probe.local_addr().expect("its address")
}
