use std::path::Path;
use std::sync::Mutex;

use anyhow::{Result, anyhow};
use commitlog::message::{MessageBuf, MessageSet};
use commitlog::{CommitLog, LogOptions, ReadLimit};

use super::{Engine, Record};

const SEGMENT_BYTES: usize = 256 << 20;
/// The index of a segment must hold all its records.
const INDEX_ITEMS: usize = 400_000;
const BLOCK_BYTES_MAX: usize = 4 << 20;

/// The key stands in the metadata of a message. The log has no locks of its own.
struct Commitlog(Mutex<CommitLog>);

pub fn open(folder: &Path) -> Result<Box<dyn Engine>> {
    let mut options = LogOptions::new(folder);
    options
        .segment_max_bytes(SEGMENT_BYTES)
        .index_max_items(INDEX_ITEMS)
        .message_max_bytes(BLOCK_BYTES_MAX);
    Ok(Box::new(Commitlog(Mutex::new(CommitLog::new(options)?))))
}

impl Engine for Commitlog {
    fn append(&self, records: &[Record]) -> Result<()> {
        let mut messages = MessageBuf::default();
        for record in records {
            messages
                .push_with_metadata(&record.key, &record.value)
                .map_err(|error| anyhow!("{error:?}"))?;
        }
        let mut log = self.0.lock().expect("no panic");
        log.append(&mut messages)
            .map_err(|error| anyhow!("{error:?}"))?;
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(self.0.lock().expect("no panic").flush()?)
    }

    fn next_offset(&self) -> Result<u64> {
        Ok(self.0.lock().expect("no panic").next_offset())
    }

    fn read_all(&self, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let log = self.0.lock().expect("no panic");
        let mut next = 0;
        while next < log.next_offset() {
            let messages = log
                .read(next, ReadLimit::max_bytes(BLOCK_BYTES_MAX))
                .map_err(|error| anyhow!("{error:?}"))?;
            for message in messages.iter() {
                visit(message.payload());
                next = message.offset() + 1;
            }
        }
        Ok(())
    }
}
