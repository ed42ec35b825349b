//! The nouns of the platform and their rules: feature groups, keys, event time, queries, views.
//!
//! Pure: no I/O, no clock, no serialization. Whoever needs bytes writes a counterpart in `wire`.
//! The entry type is [`FeatureGroup`]; everything in it is validated when it is constructed.

mod coercion;
mod commit;
mod dataset;
mod description;
mod difference;
mod error;
mod evolution;
mod feature;
mod feature_group;
mod feature_type;
mod literal;
mod name;
mod position;
mod quarantine;
mod query;
mod serving;
mod state;
mod statistics;
mod time;
mod value;
mod version;
mod view;

pub use coercion::{Coercion, coercion};
pub use commit::Commit;
pub use dataset::{
    DatasetFormat, DatasetSource, DatasetSpec, DatasetSplit, PinnedTable, TrainingDataset,
};
pub use description::GroupDescription;
pub use difference::feature_difference;
pub use error::{Error, Result};
pub use evolution::evolve;
pub use feature::{Feature, StructField};
pub use feature_group::{FeatureGroup, FeatureGroupId, FeatureGroupSpec};
pub use feature_type::FeatureType;
pub use literal::{comparable, constant, wide_type};
pub use name::{Name, ProjectName};
pub use position::{Offset, PartitionId, Position, Positions, SchemaId};
pub use quarantine::QuarantinedRecord;
pub use query::{AsOf, CompareOp, Filter, Join, JoinKind, Query, Selection};
pub use serving::{FeatureVector, GroupPresence, Presence};
pub use state::ResourceState;
pub use statistics::{
    ColumnStatistics, DISTINCT_VALUES_BYTES_MAX, DISTINCT_VALUES_MAX, DatasetStatistics,
    SplitStatistics,
};
pub use time::{EventTime, Ttl};
pub use value::Value;
pub use version::{Operation, RowVersion};
pub use view::{FeatureView, FeatureViewId};
