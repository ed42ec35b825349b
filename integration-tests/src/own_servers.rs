use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use twinfold_testkit::Servers;

/// Real servers of one test program, which may break them. They end with it, however it ends.
#[derive(Debug)]
pub struct OwnServers {
    pub servers: Servers,
    folder: PathBuf,
    runner: Child,
    /// The servers are stopped when it closes, which the system does if we cannot.
    open: Option<ChildStdin>,
    /// What the runner prints at its end has to go somewhere.
    _output: BufReader<ChildStdout>,
}

/// How a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is asked to, and finishes what it does.
    Asked,
    /// `kill -9`.
    Killed,
}

/// Names the interpreter in which the tools of the tests are installed.
const PYTHON_VARIABLE: &str = "VENV_PYTHON";
/// What the servers run for: says where they are described, then waits for its input to close.
const TELL_AND_WAIT: &str = "echo \"$TWINFOLD_TEST_SERVERS\"; exec cat";

impl OwnServers {
    /// Starts servers by name, as `python -m servers` knows them; returns when all answer.
    pub fn start(names: &[&str]) -> Self {
        let runner = python()
            .arg("run")
            .args(names)
            .args(["--", "sh", "-c", TELL_AND_WAIT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut runner = runner.unwrap_or_else(|error| {
            panic!("python: {error}; `make setup` installs it, {PYTHON_VARIABLE} names it")
        });
        let open = runner.stdin.take();
        let mut output = BufReader::new(runner.stdout.take().expect("it is piped"));
        let mut lines = BufRead::lines(&mut output).map(|line| line.expect("text"));
        let path = lines.find(|line| line.starts_with('/'));
        let path = PathBuf::from(path.expect("servers that start: why not stands above"));
        Self {
            servers: Servers::read(&path),
            folder: path.parent().expect("a file in a folder").to_owned(),
            runner,
            open,
            _output: output,
        }
    }

    /// Where they keep their data and logs; removed with them.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends servers and starts them again, on the same ports and data; also those that are stopped.
    pub async fn restart(&self, names: &[&str], end: End) {
        self.order("restart", names, end).await;
    }

    pub async fn stop(&self, names: &[&str], end: End) {
        self.order("stop", names, end).await;
    }

    async fn order(&self, what: &str, names: &[&str], end: End) {
        let mut command = python();
        command
            .args([what, "--folder"])
            .arg(&self.folder)
            .args(names);
        if end == End::Killed {
            command.arg("--kill");
        }
        let carried_out = tokio::task::spawn_blocking(move || command.status()).await;
        let status = carried_out.expect("it does not panic").expect("python");
        assert!(status.success(), "{what} {names:?}: {status}");
    }
}

impl Drop for OwnServers {
    fn drop(&mut self) {
        drop(self.open.take());
        if let Err(error) = self.runner.wait() {
            eprintln!("servers in {}: {error}", self.folder.display());
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "make says which interpreter it has set up"
)]
fn python() -> Command {
    let interpreter = std::env::var_os(PYTHON_VARIABLE).unwrap_or_else(|| "python3".into());
    let mut command = Command::new(interpreter);
    // Found in the current folder: tests run in the one of their crate.
    command.args(["-m", "servers"]);
    command
}
