//! Training datasets as files: one folder per split, with a digest of their content.
//!
//! ```text
//! folder/<split>/part-00000.parquet
//! ```

mod csv;
mod digest;
mod place;
mod read;
mod split;
mod statistics;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;

use twinfold_model::{DatasetFormat, DatasetStatistics, FeatureType};

pub use digest::{DatasetDigest, SplitDigest, digest_rows};
pub use place::DatasetPlace;
pub use read::{digest_files, read_dataset, verify};
pub use write::write_dataset;

/// The name of the split that holds everything when none is asked for.
pub const WHOLE_SPLIT: &str = "all";

/// Batches between the query and the file writer, and between a file reader and its consumer.
const QUEUE_BATCHES_MAX: usize = 4;

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Relative to the dataset's folder, in the order of splits and rows.
    pub files: Vec<PathBuf>,
    pub rows: BTreeMap<String, u64>,
    /// SHA-256 over the content of every split, in hexadecimal.
    pub digest: String,
    pub features: Vec<(String, FeatureType)>,
    pub statistics: DatasetStatistics,
}

fn extension(format: DatasetFormat) -> &'static str {
    match format {
        DatasetFormat::Parquet => "parquet",
        DatasetFormat::Csv => "csv",
    }
}
