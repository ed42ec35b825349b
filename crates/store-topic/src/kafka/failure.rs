//! What the client library says, as errors of the port.

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{debug, error, info, warn};

use crate::Error;

/// Names what was done, and to which topic or group, in front of what the library said.
pub(super) fn failed<'a>(
    action: &'static str,
    name: &'a str,
) -> impl Fn(KafkaError) -> Error + Copy + 'a {
    move |source| match source.rdkafka_error_code() {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            Error::UnknownTopic {
                topic: name.to_owned(),
            }
        }
        _ => Error::Kafka {
            action,
            name: name.to_owned(),
            retry: may_pass(&source),
            source: Box::new(source),
        },
    }
}

/// Whether the failure may go away by itself. Brokers come back; rights, settings and fenced clients do
/// not.
pub(super) fn may_pass(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    !matches!(
        error.rdkafka_error_code(),
        Some(
            Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::UnsupportedSASLMechanism
                | Code::InvalidConfig
                | Code::InvalidReplicationFactor
                | Code::InvalidRequest
                | Code::InvalidTopic
                | Code::MessageSizeTooLarge
                | Code::PolicyViolation
                | Code::SSL
                | Code::UnsupportedVersion
                | Code::UnsupportedFeature
                | Code::UnknownTopic
                | Code::UnknownTopicOrPartition
                | Code::FencedInstanceId
                | Code::Fatal
        )
    )
}

/// Passes the library's own log on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Logged;

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        note(&error, reason);
    }
}

pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    use RDKafkaLogLevel as Level;
    match level {
        Level::Emerg | Level::Alert | Level::Critical | Level::Error => {
            error!(facility, "{message}");
        }
        Level::Warning => warn!(facility, "{message}"),
        Level::Notice | Level::Info => info!(facility, "{message}"),
        Level::Debug => debug!(facility, "{message}"),
    }
}

/// Lost connections and the like: the library tries again by itself.
pub(super) fn note(error: &KafkaError, reason: &str) {
    warn!(%error, reason, "kafka client");
}
