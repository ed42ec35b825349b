//! Clients that ask for the progress of a consumer group without joining it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;

use super::KafkaOptions;
use crate::Result;

/// Each has some threads and connections.
const CLIENTS_MAX: usize = 128;
/// Who waits for progress asks many times a second: a client that was not asked for so long is of a wait that
/// is over.
const IDLE: Duration = Duration::from_secs(5);

pub(super) struct ProgressClients {
    options: Arc<KafkaOptions>,
    clients: Mutex<Clients<BaseConsumer>>,
}

impl ProgressClients {
    pub(super) fn new(options: Arc<KafkaOptions>) -> Self {
        Self {
            options,
            clients: Mutex::new(Clients::new(CLIENTS_MAX)),
        }
    }

    /// To be called where it may block: a client that makes room takes a while to end.
    pub(super) fn of(&self, group: &str) -> Result<Arc<BaseConsumer>> {
        let now = Instant::now();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(group, now) {
            return Ok(client);
        }
        let client = Arc::new(self.options.group_client(group)?);
        let superfluous = clients.add(group, Arc::clone(&client), now);
        // Ends after the lock is free.
        drop(clients);
        drop(superfluous);
        Ok(client)
    }
}

/// So many clients at most, the one asked last at the end.
struct Clients<C> {
    clients_max: usize,
    known: Vec<Known<C>>,
}

struct Known<C> {
    group: String,
    client: Arc<C>,
    asked_at: Instant,
}

impl<C> Clients<C> {
    fn new(clients_max: usize) -> Self {
        Self {
            clients_max,
            known: Vec::new(),
        }
    }

    fn get(&mut self, group: &str, now: Instant) -> Option<Arc<C>> {
        let at = self.known.iter().position(|known| known.group == group)?;
        let mut known = self.known.remove(at);
        known.asked_at = now;
        let client = Arc::clone(&known.client);
        self.known.push(known);
        Some(client)
    }

    /// Adds a client; answers the one that makes room for it. That is the one asked longest ago if nobody waits
    /// for its group any more, else the one asked last: those who wait ask by turns, and if the oldest made
    /// room, each would find that its own just had.
    fn add(&mut self, group: &str, client: Arc<C>, now: Instant) -> Option<Arc<C>> {
        let is_over = |oldest: &Known<C>| now.duration_since(oldest.asked_at) >= IDLE;
        let superfluous = if self.known.len() < self.clients_max {
            None
        } else if self.known.first().is_some_and(is_over) {
            Some(self.known.remove(0))
        } else {
            self.known.pop()
        };
        self.known.push(Known {
            group: group.to_owned(),
            client,
            asked_at: now,
        });
        superfluous.map(|known| known.client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for each group once; how many had to be made.
    fn ask(clients: &mut Clients<()>, groups: &[&str], now: Instant) -> usize {
        let mut made = 0;
        for group in groups {
            if clients.get(group, now).is_none() {
                made += 1;
                drop(clients.add(group, Arc::default(), now));
            }
        }
        made
    }

    #[test]
    fn who_asks_by_turns_mostly_finds_a_client() {
        let (mut clients, now) = (Clients::new(4), Instant::now());
        let groups = ["a", "b", "c", "d", "e"];
        assert_eq!(ask(&mut clients, &groups, now), 5);
        for _ in 0..10 {
            assert!(ask(&mut clients, &groups, now) <= 2);
        }
        assert_eq!(clients.known.len(), 4);
    }

    #[test]
    fn a_wait_that_is_over_makes_room() {
        let (mut clients, now) = (Clients::new(2), Instant::now());
        assert_eq!(ask(&mut clients, &["a", "b"], now), 2);
        let later = now + IDLE;
        assert_eq!(ask(&mut clients, &["c", "d", "c", "d"], later), 2);
    }
}
