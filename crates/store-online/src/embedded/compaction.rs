//! Gives the space of superseded records back.
//!
//! A run of neighbouring segments is rewritten as one that holds only their live records and takes
//! their place in the order of the log. The new file is complete and durable, and so is everything
//! that superseded what it leaves out, before it gets its name; a crash on either side of that moment
//! leaves a log that reads the same.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::disk::Disk;
use super::engine::{Engine, Table, lock};
use super::index::Location;
use super::log::SEGMENT_BYTES_MIN;
use super::segment::{Segment, Span};
use super::{Options, hint};
use crate::{Error, Result};

/// One run has at most this many segments, which bounds how long it takes.
const RUN_SEGMENTS_MAX: usize = 8;
/// So many neighbours that together are no larger than the smallest full segment become one.
const SMALL_SEGMENTS_MIN: usize = 8;
const WRITE_BUFFER_BYTES: usize = 1 << 20;

/// What decides whether a segment is worth rewriting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub bytes: u64,
    pub dead_bytes: u64,
    pub records: u64,
    /// Not to be touched.
    pub pinned: bool,
}

impl Facts {
    fn live_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.dead_bytes)
    }

    fn is_mostly_dead(&self) -> bool {
        self.live_bytes() * 2 < self.bytes || self.bytes == 0
    }
}

/// The run of segments to rewrite next, if any is worth it: the deadest one and its neighbours that
/// are mostly dead too, else a row of small ones.
pub(super) fn pick(segments: &[Facts], options: &Options) -> Option<Range<usize>> {
    let candidate = |facts: &Facts| !facts.pinned && facts.is_mostly_dead();
    let deadest = (0..segments.len())
        .filter(|index| candidate(&segments[*index]))
        .min_by_key(|index| {
            let facts = segments[*index];
            // Live bytes in a million; no floats, so that the order is total.
            facts.live_bytes() * 1_000_000 / facts.bytes.max(1)
        });
    if let Some(deadest) = deadest {
        let mut run = deadest..deadest + 1;
        while run.end < segments.len()
            && candidate(&segments[run.end])
            && fits(&segments[run.start..run.end + 1], options)
        {
            run.end += 1;
        }
        while run.start > 0
            && candidate(&segments[run.start - 1])
            && fits(&segments[run.start - 1..run.end], options)
        {
            run.start -= 1;
        }
        return Some(run);
    }
    let small_bytes_max = options.segment_bytes_max.min(SEGMENT_BYTES_MIN);
    let is_small_row = |row: &[Facts]| {
        row.iter().all(|facts| !facts.pinned)
            && row.iter().map(|facts| facts.bytes).sum::<u64>() <= small_bytes_max
            && fits(row, options)
    };
    let start = segments
        .windows(SMALL_SEGMENTS_MIN)
        .position(is_small_row)?;
    Some(start..start + SMALL_SEGMENTS_MIN)
}

fn fits(run: &[Facts], options: &Options) -> bool {
    run.len() <= RUN_SEGMENTS_MAX
        && run.iter().map(Facts::live_bytes).sum::<u64>() <= options.segment_bytes_max
        && run.iter().map(|facts| facts.records).sum::<u64>() <= 2 * options.segment_records_max
}

impl Engine {
    /// Rewrites what is worth it and writes the hints that are missing, until nothing is left to do
    /// or `stop` is set.
    pub fn tidy(&self, stop: &AtomicBool) -> Result<()> {
        let _one_at_a_time = lock(&self.tidying);
        let _busy = self.pace.begin();
        while !stop.load(Ordering::Relaxed) {
            self.check_open()?;
            self.log.check_writable()?;
            let stats = self.stats();
            let is_urgent = stats.dead_bytes * 2 > stats.log_bytes;
            if !is_urgent {
                self.write_hints()?;
            }
            let mut segments = self.log.segments().in_log_order();
            segments.retain(|segment| segment.is_sealed());
            let facts: Vec<Facts> = segments.iter().map(|segment| facts_of(segment)).collect();
            let Some(run) = pick(&facts, &self.log.options) else {
                return self.write_hints();
            };
            self.compact(&segments[run], stop)?;
            self.pace.progress();
        }
        Ok(())
    }

    /// A hint for every sealed segment that has none. It names only what is live, so what made the
    /// rest dead is made durable before.
    pub fn write_hints(&self) -> Result<()> {
        let segments = self.log.segments().in_log_order();
        let is_wanted = |segment: &Arc<Segment>| segment.is_sealed() && !segment.is_hinted();
        let mut wanted: Vec<Arc<Segment>> = segments.into_iter().filter(is_wanted).collect();
        while !wanted.is_empty() {
            let mut records = 0;
            let fits = |segment: &&Arc<Segment>| {
                records += segment.records();
                records <= self.log.options.segment_records_max
            };
            let count = wanted.iter().take_while(fits).count().max(1);
            let group: Vec<Arc<Segment>> = wanted.drain(..count).collect();
            let live = self.live_in(&group);
            self.log.sync()?;
            for (segment, entries) in group.iter().zip(&live) {
                let path = segment.hint_path();
                hint::write(&self.log.disk, &path, segment.bytes(), entries)?;
                segment.set_hinted();
            }
        }
        Ok(())
    }

    /// Rewrites one run. Set `stop` leaves it as it was.
    fn compact(&self, run: &[Arc<Segment>], stop: &AtomicBool) -> Result<()> {
        let Some(output) = self.copy_live(run, stop)? else {
            return Ok(());
        };
        // What made a record dead must not be lost later than the dead record itself.
        self.log.sync()?;
        if !output.entries.is_empty() {
            self.publish(output)?;
        }
        self.log.remove(run)
    }

    fn copy_live(&self, run: &[Arc<Segment>], stop: &AtomicBool) -> Result<Option<Output>> {
        let mut output = Output::create(self, run)?;
        for (source, mut entries) in run.iter().zip(self.live_in(run)) {
            entries.sort_unstable_by_key(|entry| entry.position);
            for entry in entries {
                if stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                let from = Location {
                    segment: source.id,
                    position: entry.position,
                };
                let seed = self.log.checksum_seed();
                match source.read(seed, entry.position, entry.length) {
                    Ok(record) => output.push(&record, from, entry)?,
                    Err(error) => {
                        source.set_damaged();
                        return Err(error);
                    }
                }
            }
        }
        output.finish().map(Some)
    }

    /// The records that the index points to, for each of `segments`. One walk through the index in
    /// memory is cheaper than reading every record of a segment to ask for it.
    ///
    /// Writers go on meanwhile. What they supersede may be left out or not; nothing can begin to
    /// point into a sealed segment.
    fn live_in(&self, segments: &[Arc<Segment>]) -> Vec<Vec<hint::Entry>> {
        let mut live: Vec<Vec<hint::Entry>> = segments.iter().map(|_| Vec::new()).collect();
        let mut ids: Vec<(u32, usize)> = (0..segments.len())
            .map(|index| (segments[index].id, index))
            .collect();
        ids.sort_unstable();
        for (table, owner) in self.tables_by_id() {
            owner.index.for_each(|entry| {
                let Location { segment, position } = entry.location();
                if let Ok(found) = ids.binary_search_by_key(&segment, |(id, _)| *id) {
                    live[ids[found].1].push(hint::Entry {
                        hash: entry.hash(),
                        table,
                        event_time: entry.event_time(),
                        operation: entry.operation(),
                        position,
                        length: entry.length(),
                    });
                }
            });
        }
        live
    }

    /// Gives the new file its name, then points the index to it.
    fn publish(&self, output: Output) -> Result<()> {
        let path = output.span.path(&self.log.folder);
        let bytes = output.bytes;
        let hint_path = path.with_extension("hint");
        hint::write(&self.log.disk, &hint_path, bytes, &output.entries)?;
        std::fs::rename(&output.path, &path).map_err(Error::io(&path))?;
        self.log.disk.sync_folder(&self.log.folder)?;
        let segment = Segment::open(&self.log.folder, self.log.take_id(), output.span)?;
        segment.add_records(output.entries.len() as u64);
        segment.set_hinted();
        let segment = self.log.add(segment);
        let tables = self.tables_by_id();
        for (entry, from) in output.entries.iter().zip(&output.from) {
            let to = Location {
                segment: segment.id,
                position: entry.position,
            };
            let moved = tables
                .get(&entry.table)
                .is_some_and(|table| table.index.relocate(entry.hash, *from, to));
            if !moved {
                segment.add_dead(entry.length.into());
            }
        }
        Ok(())
    }

    pub fn tables_by_id(&self) -> HashMap<u32, Arc<Table>> {
        let tables = self
            .tables
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        tables
            .values()
            .map(|table| (table.id, Arc::clone(table)))
            .collect()
    }
}

fn facts_of(segment: &Segment) -> Facts {
    Facts {
        bytes: segment.bytes(),
        dead_bytes: segment.dead_bytes(),
        records: segment.records(),
        pinned: segment.is_damaged(),
    }
}

/// The file that takes the place of a run, while it is written. It goes when this is dropped, unless
/// it has got its name by then.
struct Output {
    disk: Disk,
    path: PathBuf,
    file: File,
    span: Span,
    /// Length so far, with what is still in the buffer.
    bytes: u64,
    buffer: Vec<u8>,
    /// What the file holds, in its order, and where each record came from.
    entries: Vec<hint::Entry>,
    from: Vec<Location>,
}

impl Output {
    fn create(engine: &Engine, run: &[Arc<Segment>]) -> Result<Self> {
        let spans = || run.iter().map(|segment| segment.span);
        let path = engine.log.folder.join("compaction.tmp");
        let file = File::create(&path).map_err(Error::io(&path))?;
        Ok(Self {
            disk: engine.log.disk.clone(),
            file,
            path,
            span: Span {
                first: spans().map(|span| span.first).min().unwrap_or(0),
                last: spans().map(|span| span.last).max().unwrap_or(0),
                generation: spans().map(|span| span.generation).max().unwrap_or(0) + 1,
            },
            bytes: 0,
            buffer: Vec::with_capacity(WRITE_BUFFER_BYTES),
            entries: Vec::new(),
            from: Vec::new(),
        })
    }

    fn push(&mut self, record: &[u8], from: Location, entry: hint::Entry) -> Result<()> {
        let position = u32::try_from(self.bytes)
            .map_err(|_| Error::corrupt(&self.path, "longer than 4 GiB"))?;
        if self.buffer.len() + record.len() > WRITE_BUFFER_BYTES {
            self.write_buffer()?;
        }
        self.buffer.extend_from_slice(record);
        self.bytes += record.len() as u64;
        self.entries.push(hint::Entry { position, ..entry });
        self.from.push(from);
        Ok(())
    }

    /// Makes the content durable.
    fn finish(mut self) -> Result<Self> {
        self.write_buffer()?;
        self.disk.sync(&self.file).map_err(Error::io(&self.path))?;
        Ok(self)
    }

    fn write_buffer(&mut self) -> Result<()> {
        let position = self.bytes - self.buffer.len() as u64;
        self.disk
            .write_all_at(&self.file, &self.buffer, position)
            .map_err(Error::io(&self.path))?;
        self.buffer.clear();
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Nothing is there when it has its name. A full disk must not be left fuller than it was.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{content, copy_folder, open, write};
    use super::*;
    use crate::conformance::{newest_of, random_rows};
    use proptest::prelude::*;

    const OPTIONS: Options = Options {
        segment_bytes_max: 100,
        segment_records_max: 1_000,
    };

    fn facts(bytes: u64, dead_bytes: u64) -> Facts {
        Facts {
            bytes,
            dead_bytes,
            records: 1,
            pinned: false,
        }
    }

    #[test]
    fn the_deadest_goes_first_with_its_dead_neighbours() {
        let segments = [
            facts(100, 10),
            facts(100, 60),
            facts(100, 90),
            facts(100, 55),
            facts(100, 0),
        ];
        assert_eq!(pick(&segments, &OPTIONS), Some(1..4));
        let mut pinned = segments;
        pinned[2].pinned = true;
        assert_eq!(pick(&pinned, &OPTIONS), Some(1..2));
        assert_eq!(pick(&[facts(100, 50); 5], &OPTIONS), None);
    }

    #[test]
    fn many_small_neighbours_become_one() {
        let mut segments = vec![facts(100, 0)];
        segments.extend([facts(10, 0); SMALL_SEGMENTS_MIN]);
        assert_eq!(pick(&segments, &OPTIONS), Some(1..1 + SMALL_SEGMENTS_MIN));
        assert_eq!(pick(&segments[..SMALL_SEGMENTS_MIN], &OPTIONS), None);
    }

    /// The folder as a crash would leave it after each step, and also halfway through two of them.
    #[test]
    fn a_crash_between_steps_loses_and_doubles_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let options = Options {
            segment_bytes_max: 2_000,
            segment_records_max: 1_000,
        };
        let engine = open(folder.path(), options);
        let rows = random_rows(3, 600, 80);
        write(&engine, &rows).expect("write");
        let mut run = engine.log.segments().in_log_order();
        run.retain(|segment| segment.is_sealed());
        engine.write_hints().expect("hints");

        let crashed = tempfile::tempdir().expect("folder");
        let keep = |name: &str| copy_folder(folder.path(), &crashed.path().join(name));
        keep("before");
        let stop = AtomicBool::new(false);
        let output = engine
            .copy_live(&run, &stop)
            .expect("copy")
            .expect("not stopped");
        let span = output.span;
        keep("copied");
        engine.publish(output).expect("publish");
        keep("published");
        keep("hint-only");
        std::fs::remove_file(span.path(&crashed.path().join("hint-only/log"))).expect("remove");
        run[0].remove_files().expect("remove");
        keep("half-removed");
        engine.log.remove(&run).expect("remove");
        keep("removed");

        let expected = newest_of(&rows);
        assert_eq!(content(&engine), expected);
        drop(engine);
        for step in [
            "before",
            "copied",
            "hint-only",
            "published",
            "half-removed",
            "removed",
        ] {
            let engine = open(&crashed.path().join(step), options);
            assert_eq!(content(&engine), expected, "{step}");
            let names = std::fs::read_dir(crashed.path().join(step).join("log")).expect("folder");
            let is_left = |name: &str| name.ends_with(".tmp");
            for name in names {
                let name = name.expect("file").file_name();
                assert!(!is_left(&name.to_string_lossy()), "{step}: {name:?}");
            }
            write(&engine, &rows).expect("write again");
            assert_eq!(content(&engine), expected, "{step}");
        }
    }

    proptest! {
        #[test]
        fn a_run_is_worth_it_and_bounded(
            segments in proptest::collection::vec((0_u64..=100, 0_u64..=100, any::<bool>()), 0..30)
        ) {
            let segments: Vec<Facts> = segments
                .into_iter()
                .map(|(bytes, dead, pinned)| Facts { pinned, ..facts(bytes, dead.min(bytes)) })
                .collect();
            let Some(run) = pick(&segments, &OPTIONS) else {
                prop_assert!(segments.iter().all(|facts| facts.pinned || facts.dead_bytes * 2 <= facts.bytes && facts.bytes > 0));
                return Ok(());
            };
            let run = &segments[run];
            prop_assert!(!run.is_empty() && run.len() <= RUN_SEGMENTS_MAX);
            prop_assert!(run.iter().all(|facts| !facts.pinned));
            prop_assert!(run.iter().map(Facts::live_bytes).sum::<u64>() <= OPTIONS.segment_bytes_max);
            let shrinks = run.iter().all(Facts::is_mostly_dead);
            prop_assert!(shrinks || run.len() == SMALL_SEGMENTS_MIN);
        }
    }
}
