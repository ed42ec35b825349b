use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use twinfold_model::{Error as ModelError, FeatureType, FeatureVector};
use twinfold_wire::rest::{
    ColumnBody, FeatureVectorBody, ServingSourceBody, ValueBody, VectorReaderBody, VectorsBody,
};

use super::{Connection, RemotePlatform};
use crate::{
    Entry, Error, Result, Serving, ServingRequest, VectorOptions, VectorReader, check_passed,
};

#[async_trait]
impl Serving for RemotePlatform {
    async fn vector_reader(&self, request: ServingRequest) -> Result<Arc<dyn VectorReader>> {
        let source = ServingSourceBody::from(&request.source);
        let service = self.service()?;
        let made: VectorReaderBody = service.post_for("/vector-readers", &source).await?;
        let entries_max = usize::try_from(self.limits.entries_max).unwrap_or(usize::MAX);
        Ok(Arc::new(RemoteVectors {
            connection: Arc::clone(&self.connection),
            source,
            shape: made.shape,
            features: columns(made.features)?,
            serving_keys: columns(made.serving_keys)?,
            entries_max: entries_max.max(1),
        }))
    }
}

fn columns(bodies: Vec<ColumnBody>) -> Result<Vec<(String, FeatureType)>, ModelError> {
    let columns = bodies.into_iter();
    columns
        .map(|column| Ok((column.name, column.r#type.parse()?)))
        .collect()
}

/// Reads vectors of one source. Its features and keys are those of its making: the other end refuses to
/// answer with vectors of another shape.
#[derive(Debug)]
struct RemoteVectors {
    connection: Arc<Connection>,
    source: ServingSourceBody,
    shape: String,
    features: Vec<(String, FeatureType)>,
    serving_keys: Vec<(String, FeatureType)>,
    entries_max: usize,
}

#[async_trait]
impl VectorReader for RemoteVectors {
    fn features(&self) -> &[(String, FeatureType)] {
        &self.features
    }

    fn serving_keys(&self) -> &[(String, FeatureType)] {
        &self.serving_keys
    }

    async fn vectors(
        &self,
        entries: &[Entry],
        passed: &[Entry],
        options: VectorOptions,
    ) -> Result<Vec<FeatureVector>> {
        check_passed(entries, passed)?;
        if entries.len() <= self.entries_max {
            return self.request(entries, passed, options).await;
        }
        let mut vectors = Vec::with_capacity(entries.len());
        let mut first_row = 0;
        for part in entries.chunks(self.entries_max) {
            let passed = passed.get(first_row..first_row + part.len());
            let read = self.request(part, passed.unwrap_or_default(), options);
            let read = read.await.map_err(|error| counted_from(first_row, error));
            vectors.extend(read?);
            first_row += part.len();
        }
        Ok(vectors)
    }
}

impl RemoteVectors {
    async fn request(
        &self,
        entries: &[Entry],
        passed: &[Entry],
        options: VectorOptions,
    ) -> Result<Vec<FeatureVector>> {
        let body = VectorsBody {
            source: self.source.clone(),
            shape: Some(self.shape.clone()),
            entries: entries.iter().map(entry_body).collect(),
            passed: passed.iter().map(entry_body).collect(),
            allow_missing: options.allow_missing,
            allow_error: options.allow_error,
        };
        let service = self.connection.service()?;
        let bodies: Vec<FeatureVectorBody> = service.post_for("/vectors", &body).await?;
        let vectors = bodies.into_iter().map(FeatureVector::try_from);
        Ok(vectors.collect::<Result<_, _>>()?)
    }
}

fn entry_body(entry: &Entry) -> BTreeMap<String, ValueBody> {
    let values = entry.iter();
    values
        .map(|(name, value)| (name.clone(), value.into()))
        .collect()
}

/// An error about an entry of a later request, which counts from the first entry of all.
fn counted_from(first_row: usize, error: Error) -> Error {
    match error {
        Error::Invalid(ModelError::TypeMismatch {
            feature,
            found,
            wanted,
            row: Some(row),
        }) => Error::Invalid(ModelError::TypeMismatch {
            feature,
            found,
            wanted,
            row: Some(row + first_row as u64),
        }),
        other => other,
    }
}
