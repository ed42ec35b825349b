//! The row on the topic: Avro in a Confluent frame, with headers beside it.
//!
//! Writing: [`coerce`] brings a dataframe into the canonical Arrow schema of its group, [`Encoder`] makes
//! records of it. Reading: [`Inspector`] validates a record and derives its key and event time,
//! [`Decoder`] turns records back into Arrow. A record that cannot be read is a [`Defect`].

mod arrow_types;
mod avro_schema;
mod coerce;
mod column;
mod cursor;
mod decode;
pub(crate) mod defect;
mod encode;
mod frame;
mod headers;
mod inspect;
pub(crate) mod plan;
pub(crate) mod sink;
mod stretch;
mod subject;
pub(crate) mod walk;
pub(crate) mod writer_schema;

pub use arrow_types::{arrow_schema, arrow_type_of, feature_type_of, history_schema};
pub use avro_schema::{avro_schema, field_names};
pub use coerce::{coerce, coerce_column, coerce_keys};
pub use decode::{Decoded, Decoder};
pub use defect::Defect;
pub use encode::{EncodedRows, Encoder};
pub use frame::{FRAME_BYTES, frame, parse_frame};
pub use headers::Headers;
pub use inspect::Inspector;
pub use subject::{key_subject, topic_of_value_subject, value_subject};

pub(crate) use cursor::Cursor;
