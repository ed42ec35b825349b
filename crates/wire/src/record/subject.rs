//! The subjects of a topic in a schema registry, as Kafka's own serializers name them by default.

const VALUE_SUFFIX: &str = "-value";
const KEY_SUFFIX: &str = "-key";

/// The subject of the schemas that the values on a topic are written with.
pub fn value_subject(topic: &str) -> String {
    format!("{topic}{VALUE_SUFFIX}")
}

/// The subject of the schemas that producers of other hands write their keys with.
pub fn key_subject(topic: &str) -> String {
    format!("{topic}{KEY_SUFFIX}")
}

/// The topic of which this is the [`value_subject`], whether it exists or not.
pub fn topic_of_value_subject(subject: &str) -> Option<&str> {
    subject.strip_suffix(VALUE_SUFFIX)
}
