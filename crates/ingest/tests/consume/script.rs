//! A topic that brings what a test says, when it says so.

use std::future::pending;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use twinfold_model::{Offset, PartitionId, Positions};
use twinfold_store_topic::{
    Append, Appended, Bounds, Error, Event, FetchLimits, Result, Subscription, TopicConfig,
    TopicStore,
};

use crate::world::DEADLINE;

const EVENTS_MAX: usize = 8;

#[derive(Debug)]
pub struct Script {
    events: mpsc::Sender<Event>,
    /// For the one subscription.
    brought: Mutex<Option<mpsc::Receiver<Event>>>,
    seen: Arc<Seen>,
    tells_progress: bool,
    /// Who asks when it does not is told the next time.
    tells_bounds: AtomicBool,
}

/// What the consumer has done.
#[derive(Debug, Default)]
struct Seen {
    taken: watch::Sender<usize>,
    commits: Mutex<Vec<Positions>>,
}

impl Script {
    pub fn new() -> Arc<Self> {
        Self::with(true, true)
    }

    /// Never answers who asks for progress.
    pub fn without_progress() -> Arc<Self> {
        Self::with(false, true)
    }

    /// Fails to answer who asks for bounds the first time.
    pub fn with_bounds_at_the_second_time() -> Arc<Self> {
        Self::with(true, false)
    }

    fn with(tells_progress: bool, tells_bounds: bool) -> Arc<Self> {
        let (events, brought) = mpsc::channel(EVENTS_MAX);
        Arc::new(Self {
            events,
            brought: Mutex::new(Some(brought)),
            seen: Arc::default(),
            tells_progress,
            tells_bounds: AtomicBool::new(tells_bounds),
        })
    }

    pub async fn bring(&self, event: Event) {
        self.events.send(event).await.expect("somebody listens");
    }

    /// Returns when the consumer has taken so many events.
    pub async fn has_taken(&self, events: usize) {
        let mut taken = self.seen.taken.subscribe();
        let seen = tokio::time::timeout(DEADLINE, taken.wait_for(|taken| *taken >= events));
        seen.await.expect("in time").expect("the script stays");
    }

    /// What was committed, in order.
    pub fn commits(&self) -> Vec<Positions> {
        self.seen.commits.lock().expect("whole").clone()
    }
}

#[async_trait]
impl TopicStore for Script {
    async fn create(&self, _: &str, _: &TopicConfig) -> Result<()> {
        Ok(())
    }

    async fn drop_topic(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn append(&self, _: &str, _: Vec<Append>) -> Result<Vec<Appended>> {
        Ok(Vec::new())
    }

    async fn sync(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn bounds(&self, _: &str) -> Result<Vec<Bounds>> {
        if self.tells_bounds.swap(true, Ordering::SeqCst) {
            return Ok(Vec::new());
        }
        Err(Error::Io {
            path: "topic".into(),
            source: ErrorKind::TimedOut.into(),
        })
    }

    async fn progress(&self, _: &str, _: &str) -> Result<Positions> {
        if !self.tells_progress {
            pending::<()>().await;
        }
        Ok(Positions::new())
    }

    async fn subscribe(&self, _: &str, _: &str) -> Result<Box<dyn Subscription>> {
        let brought = self.brought.lock().expect("whole").take();
        Ok(Box::new(Listener {
            brought: brought.expect("one subscription"),
            seen: Arc::clone(&self.seen),
        }))
    }

    async fn enforce_retention(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

struct Listener {
    brought: mpsc::Receiver<Event>,
    seen: Arc<Seen>,
}

#[async_trait]
impl Subscription for Listener {
    async fn next(&mut self, limits: FetchLimits) -> Result<Event> {
        let brought = tokio::time::timeout(limits.wait_max, self.brought.recv());
        let Ok(event) = brought.await else {
            return Ok(Event::Idle);
        };
        self.seen.taken.send_modify(|taken| *taken += 1);
        Ok(event.expect("the script stays"))
    }

    async fn seek(&mut self, _: PartitionId, _: Offset) -> Result<()> {
        Ok(())
    }

    fn ends(&self) -> Positions {
        Positions::new()
    }

    async fn commit(&mut self, positions: &Positions) -> Result<bool> {
        let mut commits = self.seen.commits.lock().expect("whole");
        commits.push(positions.clone());
        Ok(true)
    }
}
