//! The nouns of this crate as they travel, for both ends: whoever serves a platform and whoever calls it.

use twinfold_model::{Error as ModelError, EventTime, Positions, SchemaId};
use twinfold_wire::rest::{
    DatasetCheckBody, GroupDefinitionBody, PositionsBody, ProgressBody, ReadBody, ReceiptBody,
    ServingSourceBody,
};
use uuid::Uuid;

use crate::{
    DatasetCheck, GroupDefinition, IngestProgress, ReadRequest, Receipt, ServingSource, Spine,
};

impl From<&GroupDefinition> for GroupDefinitionBody {
    fn from(definition: &GroupDefinition) -> Self {
        Self {
            group: (&definition.group).into(),
            state: (&definition.state).into(),
            resource: definition.resource.clone(),
            schema: definition.schema.0,
        }
    }
}

impl TryFrom<GroupDefinitionBody> for GroupDefinition {
    type Error = ModelError;

    fn try_from(body: GroupDefinitionBody) -> Result<Self, ModelError> {
        Ok(Self {
            group: body.group.try_into()?,
            state: body.state.into(),
            resource: body.resource,
            schema: SchemaId(body.schema),
        })
    }
}

impl From<&Receipt> for ReceiptBody {
    fn from(receipt: &Receipt) -> Self {
        Self {
            group: (&receipt.group).into(),
            resource: receipt.resource.clone(),
            ingestion_id: receipt.ingestion_id(),
            rows: receipt.rows,
            start: (&receipt.start).into(),
            end: (&receipt.end).into(),
        }
    }
}

impl TryFrom<ReceiptBody> for Receipt {
    type Error = ModelError;

    fn try_from(body: ReceiptBody) -> Result<Self, ModelError> {
        let ingestion_id = Uuid::parse_str(&body.ingestion_id).map_err(|error| {
            let found = &body.ingestion_id;
            ModelError::InvalidQuery {
                reason: format!("ingestion id `{found}` is not a UUID: {error}"),
            }
        })?;
        Ok(Self {
            group: body.group.try_into()?,
            resource: body.resource,
            ingestion_id: ingestion_id.into_bytes(),
            rows: body.rows,
            start: body.start.into(),
            end: body.end.into(),
        })
    }
}

impl From<&IngestProgress> for ProgressBody {
    fn from(progress: &IngestProgress) -> Self {
        Self {
            topic: (&progress.topic).into(),
            online: progress.online.as_ref().map(PositionsBody::from),
            offline: (&progress.offline).into(),
        }
    }
}

impl From<ProgressBody> for IngestProgress {
    fn from(body: ProgressBody) -> Self {
        Self {
            topic: body.topic.into(),
            online: body.online.map(Positions::from),
            offline: body.offline.into(),
        }
    }
}

impl From<&DatasetCheck> for DatasetCheckBody {
    fn from(check: &DatasetCheck) -> Self {
        Self {
            recorded: check.recorded.clone(),
            files: check.files.clone(),
            rebuilt: check.rebuilt.clone(),
        }
    }
}

impl From<DatasetCheckBody> for DatasetCheck {
    fn from(body: DatasetCheckBody) -> Self {
        Self {
            recorded: body.recorded,
            files: body.files,
            rebuilt: body.rebuilt,
        }
    }
}

impl From<&ServingSource> for ServingSourceBody {
    fn from(source: &ServingSource) -> Self {
        match source {
            ServingSource::View(id) => Self::View(id.into()),
            ServingSource::Dataset { name, version } => Self::Dataset {
                name: name.clone(),
                version: *version,
            },
        }
    }
}

impl TryFrom<ServingSourceBody> for ServingSource {
    type Error = ModelError;

    fn try_from(body: ServingSourceBody) -> Result<Self, ModelError> {
        Ok(match body {
            ServingSourceBody::View(id) => Self::View(id.try_into()?),
            ServingSourceBody::Dataset { name, version } => Self::Dataset { name, version },
        })
    }
}

/// Without the rows of the spine.
impl From<&ReadRequest> for ReadBody {
    fn from(request: &ReadRequest) -> Self {
        let defaults = request.defaults.iter();
        Self {
            query: (&request.query).into(),
            defaults: defaults
                .map(|(column, value)| (column.clone(), value.into()))
                .collect(),
            spine_event_time: request
                .spine
                .as_ref()
                .and_then(|spine| spine.event_time.clone()),
            event_time_start_us: request.event_time_start.map(EventTime::micros),
            event_time_end_us: request.event_time_end.map(EventTime::micros),
        }
    }
}

impl ReadRequest {
    /// What was asked for, over a spine whose event time the body names.
    pub fn from_body(body: ReadBody, spine: Option<Spine>) -> Result<Self, ModelError> {
        let event_time = body.spine_event_time;
        let spine = spine.map(|spine| Spine {
            event_time,
            ..spine
        });
        let defaults = body.defaults.into_iter();
        Ok(Self {
            query: body.query.try_into()?,
            defaults: defaults
                .map(|(column, value)| (column, value.into()))
                .collect(),
            spine,
            event_time_start: body.event_time_start_us.map(EventTime::from_micros),
            event_time_end: body.event_time_end_us.map(EventTime::from_micros),
        })
    }
}

#[cfg(test)]
mod tests {
    use twinfold_model::{FeatureGroupId, Offset, PartitionId};

    use super::*;
    use crate::new_ingestion_id;

    #[test]
    fn a_receipt_is_the_same_at_the_other_end() {
        let group = FeatureGroupId::new("default", "weather", 1).expect("id");
        let mut receipt = Receipt::new(group, "default.weather_1-2".to_owned(), new_ingestion_id());
        receipt.rows = 9;
        receipt.start.advance(PartitionId(2), Offset(5));
        receipt.end.advance(PartitionId(2), Offset(14));
        let body = ReceiptBody::from(&receipt);
        assert_eq!(Receipt::try_from(body.clone()), Ok(receipt));
        let broken = ReceiptBody {
            ingestion_id: "seven".to_owned(),
            ..body
        };
        let error = Receipt::try_from(broken).expect_err("no UUID").to_string();
        assert!(error.contains("ingestion id `seven`"), "{error}");
    }
}
