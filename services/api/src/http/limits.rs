use std::num::{NonZeroU64, NonZeroUsize};

use serde::Deserialize;
use twinfold_http_kit::Budget;
use twinfold_http_kit::extract::JsonLimits;

/// How much requests may bring or hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpLimits {
    /// Of a body of rows; they are held in memory until all are there and checked.
    pub rows_bytes_max: NonZeroU64,
    /// Of the rows of all requests under way.
    pub rows_in_flight_bytes_max: NonZeroU64,
    /// Of a body in JSON.
    pub json_bytes_max: NonZeroU64,
    /// Of the bodies in JSON of all requests under way.
    pub json_in_flight_bytes_max: NonZeroU64,
    /// Entries of one request for vectors.
    pub entries_max: NonZeroUsize,
    /// How long one request waits for a receipt: proxies cut what is silent for longer.
    pub wait_ms_max: u64,
    /// Plans for vectors that are remembered.
    pub vector_readers_max: NonZeroUsize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        let bytes = |bytes| NonZeroU64::new(bytes).expect("not zero");
        let count = |count| NonZeroUsize::new(count).expect("not zero");
        let json = JsonLimits::default();
        Self {
            rows_bytes_max: bytes(1 << 30),
            rows_in_flight_bytes_max: bytes(2 << 30),
            json_bytes_max: json.json_bytes_max,
            json_in_flight_bytes_max: json.json_in_flight_bytes_max,
            entries_max: count(1_000),
            wait_ms_max: 25_000,
            vector_readers_max: count(256),
        }
    }
}

impl HttpLimits {
    pub(super) fn rows(&self) -> Budget {
        let setting = "rows_in_flight_bytes_max";
        Budget::new(setting, self.rows_in_flight_bytes_max, self.rows_bytes_max)
    }

    pub(super) fn json(&self) -> JsonLimits {
        JsonLimits {
            json_bytes_max: self.json_bytes_max,
            json_in_flight_bytes_max: self.json_in_flight_bytes_max,
        }
    }
}
