//! The JSON bodies: what the services say over HTTP and what the metadata stores keep.
//!
//! Each body mirrors a noun of the model: `From<&noun>` writes it, `TryFrom<body>` checks it through
//! the noun's own constructor. Unknown fields are errors, so a misspelt option is never ignored.
//! Nothing is lost on the way: 64-bit and floating values stand as text, bytes as hexadecimal.

mod commit;
mod dataset;
mod error;
mod feature_group;
mod feature_view;
mod filter;
mod platform;
mod quarantine;
mod query;
mod reading;
mod receipt;
mod registry;
mod scalar;
mod serving;
mod statistics;
mod value;

pub use commit::CommitBody;
pub use dataset::{
    ColumnBody, DatasetSourceBody, DatasetSpecBody, DatasetSplitBody, FormatBody, PinnedTableBody,
    TrainingDatasetBody,
};
pub use error::{ErrorBody, ErrorDetailsBody, InvalidBody};
pub use feature_group::{
    FeatureBody, FeatureGroupBody, FeatureGroupIdBody, GroupDescriptionBody, StateBody,
};
pub use feature_view::{FeatureViewBody, FeatureViewIdBody};
pub use filter::{CompareOpBody, FILTER_DEPTH_MAX, FilterBody, filter_depth};
pub use platform::{GroupDefinitionBody, LimitsBody, PlatformBody};
pub use quarantine::{PositionBody, QuarantinedRecordBody};
pub use query::{AsOfBody, JoinBody, JoinKindBody, JoinPairBody, QueryBody, SelectionBody};
pub use reading::{DatasetCheckBody, ReadBody};
pub use receipt::{PositionsBody, ProgressBody, ReceiptBody, WaitBody};
pub use registry::{
    ChangeBody, ChangedBody, GroupRecordBody, NewestChangeBody, PAGE_ITEMS_MAX, PageBody,
    PinnedCommitsBody, ProjectBody, ReservationBody, ReserveDatasetBody, ResolvedDatasetBody,
    SchemaBody,
};
pub use scalar::{Decimal, Exact, Hex};
pub use serving::{
    FeatureVectorBody, GroupPresenceBody, PresenceBody, ServingSourceBody, VectorReaderBody,
    VectorsBody,
};
pub use statistics::{ColumnStatisticsBody, DatasetStatisticsBody, SplitStatisticsBody};
pub use value::ValueBody;

#[cfg(test)]
mod samples;
