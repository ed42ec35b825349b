//! Clients that ask for the progress of a consumer group without joining it.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::consumer::BaseConsumer;

use super::KafkaOptions;
use crate::Result;

/// The one used longest ago makes room.
const CLIENTS_MAX: usize = 64;

pub(super) struct ProgressClients {
    options: Arc<KafkaOptions>,
    /// By consumer group, the one asked last at the end.
    clients: Mutex<Vec<(String, Arc<BaseConsumer>)>>,
}

impl ProgressClients {
    pub(super) fn new(options: Arc<KafkaOptions>) -> Self {
        Self {
            options,
            clients: Mutex::default(),
        }
    }

    /// To be called where it may block: a client that makes room takes a while to end.
    pub(super) fn of(&self, group: &str) -> Result<Arc<BaseConsumer>> {
        // Ends after the lock is free.
        let mut superfluous = None;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let known = clients.iter().position(|(known, _)| known == group);
        let client = match known {
            Some(at) => clients.remove(at).1,
            None => {
                if clients.len() == CLIENTS_MAX {
                    superfluous = Some(clients.remove(0));
                }
                Arc::new(self.options.group_client(group)?)
            }
        };
        clients.push((group.to_owned(), Arc::clone(&client)));
        drop(clients);
        drop(superfluous);
        Ok(client)
    }
}
