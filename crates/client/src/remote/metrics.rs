use metrics::gauge;

const DEFINITIONS_STALENESS_SECONDS: &str = "twinfold_definitions_staleness_seconds";

/// How long ago the registry last answered.
pub(super) fn definitions_staleness(since_us: i64) {
    gauge!(DEFINITIONS_STALENESS_SECONDS).set(since_us as f64 / 1e6);
}
