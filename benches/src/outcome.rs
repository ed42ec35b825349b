use std::fmt;
use std::time::Instant;

use crate::{memory_mb, processor_seconds};

/// What one side of a measurement did with its rows.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Rows per second.
    pub rate: f64,
    /// Processor time of the process, per row.
    pub processor_us: f64,
    /// Resident memory of the process at its highest.
    pub memory_mb: u64,
}

impl Outcome {
    pub fn mean(outcomes: &[Self]) -> Self {
        let mean = |value: fn(&Self) -> f64| {
            outcomes.iter().map(value).sum::<f64>() / outcomes.len() as f64
        };
        Self {
            rate: mean(|outcome| outcome.rate),
            processor_us: mean(|outcome| outcome.processor_us),
            memory_mb: outcomes.iter().map(|one| one.memory_mb).max().unwrap_or(0),
        }
    }

    /// The last line of the program that measured it, for the one that started it.
    pub fn to_line(self) -> String {
        format!("{} {} {}", self.rate, self.processor_us, self.memory_mb)
    }

    pub fn from_line(line: &str) -> Option<Self> {
        let mut numbers = line.split(' ');
        let outcome = Self {
            rate: numbers.next()?.parse().ok()?,
            processor_us: numbers.next()?.parse().ok()?,
            memory_mb: numbers.next()?.parse().ok()?,
        };
        numbers.next().is_none().then_some(outcome)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rate,
            processor_us,
            memory_mb,
        } = self;
        write!(
            f,
            "{rate:>9.0} rows/s, {processor_us:>6.2} µs of processor per row, {memory_mb:>5} MB"
        )
    }
}

/// Measures what this process does from its start to its stop.
#[derive(Debug)]
pub struct Stopwatch {
    started: Instant,
    processor_seconds: f64,
}

impl Stopwatch {
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            processor_seconds: processor_seconds(std::process::id()),
        }
    }

    pub fn stop(self, rows: usize) -> Outcome {
        let seconds = self.started.elapsed().as_secs_f64();
        let processor_seconds = processor_seconds(std::process::id()) - self.processor_seconds;
        Outcome {
            rate: rows as f64 / seconds,
            processor_us: processor_seconds * 1e6 / rows as f64,
            memory_mb: memory_mb().1,
        }
    }
}
