use std::fmt;
use std::time::Duration;

/// How often and how long.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Of each fault.
    pub rounds: u64,
    /// What lasts, lasts this long.
    pub fault: Duration,
    pub seed: u64,
}

impl Settings {
    pub fn from_env() -> Self {
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        Self {
            rounds: number("TWINFOLD_FAULT_ROUNDS", 1),
            fault: Duration::from_secs(number("TWINFOLD_FAULT_SECONDS", 5)),
            seed: number("TWINFOLD_FAULT_SEED", random),
        }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.fault.as_secs();
        write!(f, "{} rounds each, {seconds} s, ", self.rounds)?;
        write!(f, "TWINFOLD_FAULT_SEED={}", self.seed)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test program has no configuration but this"
)]
fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => match text.parse() {
            Ok(number) => number,
            Err(_) => panic!("{name}: found `{text}`, wanted a number"),
        },
        Err(_) => default,
    }
}
