use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::lock;

const KEPT_BUFFERS_MAX: usize = 8;
const KEPT_BUFFER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Buffers that are used again. Fresh ones of this size come straight from the system, and having
/// their pages handed out and cleared takes longer than copying a block.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    kept: Mutex<Vec<Vec<u8>>>,
}

/// Returns to where it came from when the last slice of it is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    used: usize,
    home: Arc<Buffers>,
}

impl Buffers {
    /// A buffer of `used` bytes, which are anything.
    pub(super) fn take(self: &Arc<Self>, used: usize) -> Buffer {
        let mut kept = lock(&self.kept);
        let smallest = kept
            .iter()
            .enumerate()
            .filter(|(_, bytes)| bytes.len() >= used)
            .min_by_key(|(_, bytes)| bytes.len())
            .map(|(at, _)| at);
        let bytes = smallest.map(|at| kept.swap_remove(at));
        drop(kept);
        Buffer {
            bytes: bytes.unwrap_or_else(|| vec![0; used]),
            used,
            home: Arc::clone(self),
        }
    }

    fn keep(&self, bytes: Vec<u8>) {
        if bytes.len() > KEPT_BUFFER_BYTES_MAX {
            return;
        }
        let mut kept = lock(&self.kept);
        if kept.len() == KEPT_BUFFERS_MAX {
            // The oldest, so that sizes that are asked for no more do not stay.
            kept.remove(0);
        }
        kept.push(bytes);
    }
}

impl Buffer {
    pub(super) fn truncate(&mut self, used: usize) {
        self.used = self.used.min(used);
    }

    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.used]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.keep(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_only_after_its_last_slice() {
        let buffers = Arc::new(Buffers::default());
        let mut buffer = buffers.take(100);
        buffer.fill(7);
        let slice = buffer.freeze().slice(10..20);
        let mut other = buffers.take(50);
        other.fill(1);
        assert_eq!(slice, [7; 10][..]);
        drop((slice, other));
        assert_eq!(buffers.take(60).bytes.len(), 100);
        assert_eq!(buffers.take(60).len(), 60);
        assert_eq!(buffers.take(40).bytes.len(), 50);
    }

    #[test]
    fn few_buffers_are_kept_and_no_large_ones() {
        let buffers = Arc::new(Buffers::default());
        drop((0..20).map(|_| buffers.take(10)).collect::<Vec<_>>());
        drop(buffers.take(KEPT_BUFFER_BYTES_MAX + 1));
        assert_eq!(lock(&buffers.kept).len(), KEPT_BUFFERS_MAX);
    }
}
