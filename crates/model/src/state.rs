/// Where a resource stands between what should be and what is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceState {
    /// Defined; topic and tables are being made.
    Creating,
    Active,
    /// The last attempt to make or remove its topic or tables failed; it is tried again.
    Failed {
        reason: String,
    },
    /// Topic and tables are being removed.
    Deleting,
}
