//! Key and value bytes of a row in the online store, and the partition that a key belongs to.

mod key;
mod partition;
mod projection;
mod value;

pub use key::{KEY_BYTES_MAX, KEY_VERSION, KeyEncoder, Keys, decode_key};
pub use partition::partition;
pub use projection::Projection;
pub use value::{VALUE_HEADER_BYTES, ValueView, encode_value};

pub(crate) use key::{KeySink, begin_key};
