use serde::Deserialize;

/// How much one request may bring or hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpLimits {
    /// Of a body of rows; they are held in memory until all are there and checked.
    pub rows_bytes_max: u64,
    /// Of a body in JSON.
    pub json_bytes_max: u64,
    /// Entries of one request for vectors.
    pub entries_max: usize,
    /// How long one request waits for a receipt: proxies cut what is silent for longer.
    pub wait_ms_max: u64,
    /// Plans for vectors that are remembered.
    pub vector_readers_max: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            rows_bytes_max: 1 << 30,
            json_bytes_max: 64 << 20,
            entries_max: 1_000,
            wait_ms_max: 25_000,
            vector_readers_max: 256,
        }
    }
}
