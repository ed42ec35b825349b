use bytes::Bytes;

/// Byte strings one after another in one buffer; each is handed out without a copy.
#[derive(Debug, Clone)]
pub(crate) struct Slices {
    bytes: Bytes,
    ends: Vec<usize>,
}

impl Slices {
    /// `ends` are ascending positions in `bytes`.
    pub(crate) fn new(bytes: Vec<u8>, ends: Vec<usize>) -> Self {
        Self {
            bytes: bytes.into(),
            ends,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn get(&self, index: usize) -> Bytes {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.bytes.slice(start..self.ends[index])
    }
}
