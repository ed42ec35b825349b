use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use twinfold_client::{Entry, Error, ServingRequest, ServingSource, VectorOptions, VectorReader};
use twinfold_http_kit::{Failure, Operation, Routes, extract};
use twinfold_model::{Error as ModelError, FeatureType};
use twinfold_wire::rest::{
    ColumnBody, FeatureVectorBody, ServingSourceBody, ValueBody, VectorReaderBody, VectorsBody,
};
use xxhash_rust::xxh3::xxh3_64;

use super::{Answer, Api};

pub(super) fn routes(routes: Routes<Api>) -> Routes<Api> {
    routes
        .post(
            "/vector-readers",
            create,
            Operation::new("What vectors of a view or a training dataset are made of")
                .asks::<ServingSourceBody>()
                .answers::<VectorReaderBody>(),
        )
        .post(
            "/vectors",
            read,
            Operation::new("Vectors of entries")
                .asks::<VectorsBody>()
                .answers::<Vec<FeatureVectorBody>>(),
        )
}

/// Readers by what they read, each made once; the one used longest ago goes first.
#[derive(Debug)]
pub(super) struct Readers {
    known: Mutex<VecDeque<(ServingSourceBody, Known)>>,
    readers_max: usize,
}

#[derive(Debug, Clone)]
struct Known {
    reader: Arc<dyn VectorReader>,
    shape: String,
}

impl Readers {
    pub(super) fn new(readers_max: usize) -> Self {
        Self {
            known: Mutex::default(),
            readers_max,
        }
    }

    /// The reader of a source, if it makes vectors of this shape.
    fn find(&self, source: &ServingSourceBody, shape: Option<&str>) -> Option<Known> {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let place = all.iter().position(|(known, _)| known == source)?;
        let (source, known) = all.remove(place)?;
        all.push_back((source, known.clone()));
        shape
            .is_none_or(|shape| shape == known.shape)
            .then_some(known)
    }

    fn remember(&self, source: ServingSourceBody, known: Known) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(other, _)| *other != source);
        all.push_back((source, known));
        while all.len() > self.readers_max {
            all.pop_front();
        }
    }
}

/// Makes a plan for a source and remembers it in place of the one that was.
async fn make(api: &Api, source: &ServingSourceBody) -> Result<Known, Failure> {
    let request = ServingRequest {
        source: ServingSource::try_from(source.clone())?,
    };
    let reader = api.platform.vector_reader(request).await?;
    let known = Known {
        shape: shape(reader.as_ref()),
        reader,
    };
    api.readers.remember(source.clone(), known.clone());
    Ok(known)
}

/// Equal for readers whose vectors have the same features in the same order, and the same keys.
fn shape(reader: &dyn VectorReader) -> String {
    let mut text = String::new();
    for (part, columns) in [
        ("features", reader.features()),
        ("serving_keys", reader.serving_keys()),
    ] {
        let _infallible = writeln!(text, "{part}");
        for (name, r#type) in columns {
            let _infallible = writeln!(text, "{name} {type}");
        }
    }
    format!("{:016x}", xxh3_64(text.as_bytes()))
}

/// A caller that makes a reader gets a new plan: definitions may have changed since the last.
async fn create(
    State(api): State<Api>,
    extract::Json(source): extract::Json<ServingSourceBody>,
) -> Answer<VectorReaderBody> {
    let known = make(&api, &source).await?;
    Ok(Json(VectorReaderBody {
        features: columns(known.reader.features()),
        serving_keys: columns(known.reader.serving_keys()),
        shape: known.shape,
    }))
}

fn columns(columns: &[(String, FeatureType)]) -> Vec<ColumnBody> {
    let columns = columns.iter();
    columns
        .map(|(name, r#type)| ColumnBody {
            name: name.clone(),
            r#type: r#type.to_string(),
        })
        .collect()
}

async fn read(
    State(api): State<Api>,
    extract::Json(asked): extract::Json<VectorsBody>,
) -> Answer<Vec<FeatureVectorBody>> {
    check_entries(asked.entries.len(), api.limits.entries_max.get())?;
    let shape = asked.shape.as_deref();
    let known = match api.readers.find(&asked.source, shape) {
        Some(known) => known,
        None => make(&api, &asked.source).await?,
    };
    if shape.is_some_and(|shape| shape != known.shape) {
        return Err(changed(&asked.source).into());
    }
    let options = VectorOptions {
        allow_missing: asked.allow_missing,
        allow_error: asked.allow_error,
    };
    let entries: Vec<Entry> = asked.entries.into_iter().map(entry).collect();
    let passed: Vec<Entry> = asked.passed.into_iter().map(entry).collect();
    let vectors = known.reader.vectors(&entries, &passed, options).await?;
    Ok(Json(vectors.iter().map(FeatureVectorBody::from).collect()))
}

fn check_entries(found: usize, entries_max: usize) -> Result<(), ModelError> {
    if found <= entries_max {
        return Ok(());
    }
    Err(ModelError::InvalidQuery {
        reason: format!("found {found} entries in one request, wanted at most {entries_max}"),
    })
}

fn entry(values: BTreeMap<String, ValueBody>) -> Entry {
    let values = values.into_iter();
    values.map(|(name, value)| (name, value.into())).collect()
}

fn changed(source: &ServingSourceBody) -> Error {
    let name = match source {
        ServingSourceBody::View(id) => format!("{}.{}_{}", id.project, id.name, id.version),
        ServingSourceBody::Dataset { name, version } => format!("{name}_{version}"),
    };
    Error::NotFound {
        what: "vector reader".into(),
        name,
        hint: "; what it reads has other features or keys since it was made, make it again"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use twinfold_model::FeatureVector;

    use super::*;

    #[derive(Debug)]
    struct Columns(Vec<(String, FeatureType)>);

    #[async_trait]
    impl VectorReader for Columns {
        fn features(&self) -> &[(String, FeatureType)] {
            &self.0
        }

        fn serving_keys(&self) -> &[(String, FeatureType)] {
            &[]
        }

        async fn vectors(
            &self,
            _entries: &[Entry],
            _passed: &[Entry],
            _options: VectorOptions,
        ) -> Result<Vec<FeatureVector>, Error> {
            Ok(Vec::new())
        }
    }

    fn source(version: u32) -> ServingSourceBody {
        ServingSourceBody::Dataset {
            name: "delays".to_owned(),
            version,
        }
    }

    fn known(feature: &str, r#type: FeatureType) -> Known {
        let reader = Arc::new(Columns(vec![(feature.to_owned(), r#type)]));
        Known {
            shape: shape(reader.as_ref()),
            reader,
        }
    }

    #[test]
    fn a_reader_of_another_shape_is_not_found() {
        let readers = Readers::new(8);
        let old = known("temp", FeatureType::Double);
        readers.remember(source(1), old.clone());
        assert!(readers.find(&source(1), None).is_some());
        assert!(readers.find(&source(1), Some(&old.shape)).is_some());
        assert!(readers.find(&source(2), None).is_none());
        let new = known("temp", FeatureType::Float);
        readers.remember(source(1), new.clone());
        assert!(readers.find(&source(1), Some(&old.shape)).is_none());
        assert!(readers.find(&source(1), Some(&new.shape)).is_some());
    }

    #[test]
    fn the_reader_used_longest_ago_is_forgotten_first() {
        let readers = Readers::new(2);
        for version in [1, 2] {
            readers.remember(source(version), known("temp", FeatureType::Double));
        }
        assert!(readers.find(&source(1), None).is_some());
        readers.remember(source(3), known("temp", FeatureType::Double));
        let found = [1, 2, 3].map(|version| readers.find(&source(version), None).is_some());
        assert_eq!(found, [true, false, true]);
    }
}
