/// What is wrong with one record, key or value. The bytes go to quarantine with this as the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    #[error("the bytes end too early")]
    Truncated,
    #[error("{bytes} bytes are left over")]
    TrailingBytes { bytes: usize },
    #[error("not a frame of 0x00, schema id and body: it begins with {found}")]
    InvalidFrame { found: String },
    #[error("version {found} of the {what} encoding is not known, wanted {wanted}")]
    UnknownVersion {
        what: &'static str,
        found: u8,
        wanted: u8,
    },
    #[error("schema {id} is not registered for the feature group")]
    UnknownSchema { id: u32 },
    #[error("schema {id} does not fit the feature group: {reason}")]
    IncompatibleSchema { id: u32, reason: String },
    #[error("a string is not UTF-8")]
    InvalidUtf8,
    #[error("union branch {found} does not exist, there are {branches}")]
    InvalidUnionBranch { found: i64, branches: usize },
    #[error("length {found} is not possible here")]
    InvalidLength { found: i64 },
    #[error("an integer is out of range")]
    InvalidInteger,
    #[error("byte {found} is not a boolean")]
    InvalidBoolean { found: u8 },
    #[error("values are nested deeper than {levels_max} levels")]
    NestedTooDeep { levels_max: usize },
    #[error("a key feature is null")]
    NullKey,
    #[error("a key of {bytes} bytes, wanted at most {bytes_max}")]
    KeyTooLong { bytes: usize, bytes_max: usize },
    #[error("null where a value is required")]
    NullValue,
    #[error("null embeddings stand for more than {floats_max} floats")]
    TooManyNulls { floats_max: usize },
    #[error("an embedding of {found} items, wanted {wanted}")]
    EmbeddingLength { found: u64, wanted: u32 },
    #[error("a decimal does not fit {precision} digits")]
    DecimalOverflow { precision: u8 },
    #[error("a time is out of the range of microseconds in 64 bits")]
    EventTimeOutOfRange,
    #[error(
        "event time {event_time_us} µs is more than {skew_us_max} µs ahead of {appended_at_us} µs, when the record arrived"
    )]
    FutureEventTime {
        event_time_us: i64,
        appended_at_us: i64,
        skew_us_max: i64,
    },
    #[error("header `{name}` is not valid: {reason}")]
    InvalidHeader {
        name: &'static str,
        reason: &'static str,
    },
    #[error("feature `{feature}`: {defect}")]
    InFeature {
        feature: String,
        defect: Box<Defect>,
    },
}

impl Defect {
    /// Stable and machine-readable: what lists, metrics and tests tell defects apart by.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::TrailingBytes { .. } => "trailing_bytes",
            Self::InvalidFrame { .. } => "invalid_frame",
            Self::UnknownVersion { .. } => "unknown_version",
            Self::UnknownSchema { .. } => "unknown_schema",
            Self::IncompatibleSchema { .. } => "incompatible_schema",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidUnionBranch { .. } => "invalid_union_branch",
            Self::InvalidLength { .. } => "invalid_length",
            Self::InvalidInteger => "invalid_integer",
            Self::InvalidBoolean { .. } => "invalid_boolean",
            Self::NestedTooDeep { .. } => "nested_too_deep",
            Self::NullKey => "null_key",
            Self::KeyTooLong { .. } => "key_too_long",
            Self::NullValue => "null_value",
            Self::TooManyNulls { .. } => "too_many_nulls",
            Self::EmbeddingLength { .. } => "embedding_length",
            Self::DecimalOverflow { .. } => "decimal_overflow",
            Self::EventTimeOutOfRange => "event_time_out_of_range",
            Self::FutureEventTime { .. } => "future_event_time",
            Self::InvalidHeader { .. } => "invalid_header",
            Self::InFeature { defect, .. } => defect.code(),
        }
    }
}

/// What the walk returns in place of a value. Boxed, because a result that fits registers halves the
/// time of a walk; records without a defect never allocate one.
pub(crate) type Fault = Box<Defect>;

/// Kept out of line, so that the walk stays small enough to be inlined.
#[cold]
#[inline(never)]
pub(crate) fn fault(defect: Defect) -> Fault {
    Box::new(defect)
}

impl From<Fault> for Defect {
    fn from(fault: Fault) -> Self {
        *fault
    }
}

/// The same defect with the feature it was found in.
#[cold]
pub(crate) fn in_feature(fault: Fault, feature: &str) -> Fault {
    Box::new(Defect::InFeature {
        feature: feature.to_owned(),
        defect: fault,
    })
}
