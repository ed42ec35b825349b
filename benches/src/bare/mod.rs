//! The other side of measurements: what the client libraries do for somebody who asks no more of them
//! than the one thing. Each runs as a process of its own, the program `bare`.

pub mod cql;
pub mod kafka;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use twinfold_testkit::program;

use crate::Outcome;

/// Where it writes.
pub const TABLE: &str = "bare";
/// What `relay` says when it reads the topic.
pub const READY: &str = "ready";

/// Runs `bare` with a command; passes on what it says, and gives the outcome, its last line.
pub fn run(arguments: &[&str]) -> Outcome {
    let mut command = Command::new(program("bare"));
    command.args(arguments).stderr(Stdio::inherit());
    let output = command.output().expect("bare starts");
    assert!(output.status.success(), "{arguments:?}: {}", output.status);
    let said = String::from_utf8(output.stdout).expect("text");
    let mut lines: Vec<&str> = said.lines().collect();
    let last = lines.pop().unwrap_or_default();
    for line in lines {
        println!("    {line}");
    }
    let outcome = Outcome::from_line(last);
    outcome.unwrap_or_else(|| panic!("{arguments:?} ended with `{last}`"))
}

/// A bare pipeline from a topic to a table, which works until it is dropped.
#[derive(Debug)]
pub struct Relay {
    child: Child,
}

impl Relay {
    /// Starts it with the arguments of `relay`; returns when it reads.
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(program("bare"));
        command.arg("relay").args(arguments).stdout(Stdio::piped());
        let mut child = command.spawn().expect("bare starts");
        let mut said = String::new();
        let output = child.stdout.as_mut().expect("its output is ours");
        let read = BufReader::new(output).read_line(&mut said);
        read.expect("it says something");
        assert_eq!(said.trim_end(), READY, "{arguments:?}");
        Self { child }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended by itself, with what it said on standard error.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}
