use twinfold_model::{EventTime, FeatureGroup};

use super::defect::Fault;
use super::plan::{RecordPlan, Step};
use super::sink::{Ignore, Sink};
use super::stretch::Stretches;
use super::{Cursor, Defect};
use crate::Result;
use crate::row::{KEY_BYTES_MAX, KeySink, begin_key};

/// Validates records of one writer and derives their entity key and event time, in one forward walk
/// that allocates nothing.
#[derive(Debug)]
pub struct Inspector {
    plan: RecordPlan,
    /// Steps that hold the key, in the order of the key.
    key_steps: Vec<usize>,
    /// Per step, its place in the key and whether it is the event time.
    marks: Vec<Mark>,
    /// Of the steps without a mark.
    stretches: Stretches,
    event_time_step: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    None,
    Key(usize),
    EventTime,
    KeyAndEventTime(usize),
}

/// Keys of up to this many features are found without an allocation.
const KEY_FEATURES_ON_STACK: usize = 16;

impl Inspector {
    pub fn compile(writer_avro_json: &str, group: &FeatureGroup) -> Result<Self> {
        let plan = RecordPlan::for_group(writer_avro_json, group)?;
        let step_of = |wanted: usize| {
            plan.steps
                .iter()
                .position(|step| matches!(step, Step::Read(index, _) if *index == wanted))
        };
        // `for_group` has refused writers that lack one of these.
        let key_steps: Vec<usize> = group
            .primary_key()
            .iter()
            .filter_map(|index| step_of(*index))
            .collect();
        let event_time_step = group.event_time().and_then(step_of);
        let marks: Vec<Mark> = (0..plan.steps.len())
            .map(|step| {
                let place = key_steps.iter().position(|key_step| *key_step == step);
                match (place, event_time_step == Some(step)) {
                    (None, false) => Mark::None,
                    (None, true) => Mark::EventTime,
                    (Some(place), false) => Mark::Key(place),
                    (Some(place), true) => Mark::KeyAndEventTime(place),
                }
            })
            .collect();
        let stretches = Stretches::of(&plan.steps, |step| marks[step] == Mark::None);
        Ok(Self {
            plan,
            key_steps,
            marks,
            stretches,
            event_time_step,
        })
    }

    /// Checks the whole body, appends its canonical key to `key`, and gives its event time when the
    /// group has an event-time feature. On a defect `key` is as it was.
    pub fn inspect(&self, body: &[u8], key: &mut Vec<u8>) -> Result<Option<EventTime>, Defect> {
        let mut on_stack = [Cursor::new(&[]); KEY_FEATURES_ON_STACK];
        let mut on_heap;
        let keys = match on_stack.get_mut(..self.key_steps.len()) {
            Some(keys) => keys,
            None => {
                on_heap = vec![Cursor::new(&[]); self.key_steps.len()];
                on_heap.as_mut_slice()
            }
        };
        let found = self.walk(body, keys)?;
        let mut event_time = TimeSink(None);
        if let (Some(step), Some(mut cursor)) = (self.event_time_step, found) {
            self.read(step, &mut cursor, &mut event_time)?;
        }
        let start = key.len();
        begin_key(key);
        for (step, cursor) in self.key_steps.iter().zip(keys) {
            if let Err(fault) = self.read(*step, cursor, &mut KeySink(key)) {
                key.truncate(start);
                return Err(*fault);
            }
        }
        let bytes = key.len() - start;
        if bytes > KEY_BYTES_MAX {
            key.truncate(start);
            return Err(Defect::KeyTooLong {
                bytes,
                bytes_max: KEY_BYTES_MAX,
            });
        }
        Ok(event_time.0)
    }

    /// The key of a delete. The whole body is checked, so that every reader of the topic takes or
    /// refuses the same records; its event time means nothing.
    pub fn inspect_key(&self, body: &[u8], key: &mut Vec<u8>) -> Result<(), Defect> {
        self.inspect(body, key).map(drop)
    }

    /// Checks every value, leaving in `keys` where the key features stand; gives where the event
    /// time stands.
    fn walk<'a>(
        &self,
        body: &'a [u8],
        keys: &mut [Cursor<'a>],
    ) -> Result<Option<Cursor<'a>>, Fault> {
        let mut event_time = None;
        let mut cursor = Cursor::new(body);
        let mut step = 0;
        loop {
            step = self.stretches.pass(step, &mut cursor);
            let Some(mark) = self.marks.get(step) else {
                break;
            };
            match *mark {
                Mark::None => {}
                Mark::Key(place) => keys[place] = cursor,
                Mark::EventTime => event_time = Some(cursor),
                Mark::KeyAndEventTime(place) => {
                    keys[place] = cursor;
                    event_time = Some(cursor);
                }
            }
            self.read(step, &mut cursor, &mut Ignore)?;
            step += 1;
        }
        cursor.finish()?;
        Ok(event_time)
    }

    #[inline]
    fn read<S: Sink>(
        &self,
        step: usize,
        cursor: &mut Cursor<'_>,
        sink: &mut S,
    ) -> Result<(), Fault> {
        self.plan.step(&self.plan.steps[step], cursor, |_| sink)
    }
}

/// Takes the event time of a row.
struct TimeSink(Option<EventTime>);

impl Sink for TimeSink {
    fn null(&mut self) {}
    fn date(&mut self, days: i32) {
        self.0 = Some(EventTime::from_days(days));
    }
    fn timestamp(&mut self, micros: i64) {
        self.0 = Some(EventTime::from_micros(micros));
    }
}
