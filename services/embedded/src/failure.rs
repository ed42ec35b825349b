//! Errors of the parts as errors of the platform.

use twinfold_client::Error;

pub fn topic_failed(error: twinfold_store_topic::Error) -> Error {
    use twinfold_store_topic::Error as Topic;
    match error {
        Topic::Closed => Error::Closed,
        other => Error::dependency("topic", other.retry(), other),
    }
}

pub fn online_failed(error: twinfold_store_online::Error) -> Error {
    use twinfold_store_online::Error as Online;
    match error {
        Online::Closed => Error::Closed,
        other => Error::dependency("online store", other.retry(), other),
    }
}

pub fn offline_failed(error: twinfold_store_offline::Error) -> Error {
    use twinfold_store_offline::Error as Offline;
    match error {
        Offline::UnknownCommit { .. } | Offline::BeforeFirstCommit { .. } => {
            Error::Invalid(twinfold_model::Error::InvalidQuery {
                reason: error.to_string(),
            })
        }
        other => Error::dependency("history", other.retry(), other),
    }
}

pub fn metadata_failed(error: twinfold_store_metadata::Error) -> Error {
    Error::dependency("metadata", error.retry(), error)
}

pub fn training_failed(error: twinfold_training::Error) -> Error {
    use twinfold_training::Error as Training;
    match error {
        Training::Model(error) => Error::Invalid(error),
        Training::CsvType { .. } | Training::UnknownSplit { .. } => {
            Error::Invalid(twinfold_model::Error::InvalidQuery {
                reason: error.to_string(),
            })
        }
        other => Error::dependency("training", other.retry(), other),
    }
}

pub fn registry_failed(error: twinfold_registry::Error) -> Error {
    use twinfold_registry::Error as Registry;
    let retry = error.retry();
    match error {
        Registry::Invalid(error) => Error::Invalid(error),
        Registry::NotFound { what, name, hint } => Error::NotFound {
            what: what.into(),
            name,
            hint,
        },
        Registry::AlreadyExists { what, name, hint } => Error::AlreadyExists {
            what: what.into(),
            name,
            hint,
        },
        Registry::InUse { group, users } => Error::InUse {
            what: "feature group".into(),
            name: group.to_string(),
            reason: format!("it is used by {}", users.join(", ")),
        },
        Registry::DefinitionDiffers { group, difference } => Error::AlreadyExists {
            what: "feature group".into(),
            name: group.to_string(),
            hint: format!(" with another definition: {difference}"),
        },
        Registry::BeingDeleted { group } => Error::NotReady {
            group: group.to_string(),
            reason: "it is being deleted".to_owned(),
        },
        Registry::NotReady { group, reason, .. } => Error::NotReady {
            group: group.to_string(),
            reason,
        },
        Registry::Topic(error) => topic_failed(error),
        Registry::Online(error) => online_failed(error),
        other => Error::Dependency {
            what: "registry".into(),
            retry,
            source: Box::new(other),
        },
    }
}
