//! The point-in-time join: for each row of a spine, the newest record of a key not after its time.
//!
//! The spine is held in memory, a chunk at a time; the history streams past it once per chunk and is
//! never sorted. Within a chunk, the distinct (key, time) pairs of the spine are slots, sorted by
//! time within each key. A history record can only be the answer of the first slot of its key that
//! is not before it, or of a later slot that nothing newer reached. So each slot keeps the newest
//! record that fell into it, and a running maximum over the slots of a key gives every answer:
//!
//! ```text
//! records        a b   c        d
//! time        ───┴─┴─┬─┴───┬──┬─┴──┬──>      slot 1 keeps b, slot 2 keeps c, slot 3 nothing,
//! spine rows         1     2  3    4          slot 4 keeps d; answers: b, c, c, d
//! ```
//!
//! Only features of records that hold a slot are kept, so memory follows the size of the spine's
//! chunk and not that of the history, and the result comes out in the order of the spine.
//! Why this and not a sort-merge: docs/decisions/0004-point-in-time-join.md.

mod exec;
mod gather;
mod probe;
mod slots;

use arrow::array::ArrayRef;
use arrow::datatypes::FieldRef;
use twinfold_model::{JoinKind, Ttl};

pub(crate) use exec::PitJoinExec;

/// How to match one history against the spine.
///
/// The history's columns are the key's, in the order of `spine_keys`, then event time, deleted,
/// offset and partition, then one per feature.
#[derive(Debug, Clone)]
pub(crate) struct PitJoin {
    pub(crate) spine_keys: Vec<usize>,
    /// Without it, each row gets the newest record of its key.
    pub(crate) spine_time: Option<usize>,
    /// Only looked at with a spine time.
    pub(crate) ttl: Option<Ttl>,
    pub(crate) kind: JoinKind,
    /// What the features are called in the result.
    pub(crate) features: Vec<FieldRef>,
    /// Per feature, the one value that stands where there is no row.
    pub(crate) missing: Vec<ArrayRef>,
}

impl PitJoin {
    fn history_keys(&self) -> Vec<usize> {
        (0..self.spine_keys.len()).collect()
    }

    /// Microseconds a record stays readable after its event time.
    fn ttl_us(&self) -> i64 {
        match (self.spine_time, self.ttl) {
            (Some(_), Some(ttl)) => ttl.micros(),
            _ => i64::MAX,
        }
    }
}
