use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use futures::Stream;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;
use tokio::sync::mpsc;
use twinfold_model::{DatasetFormat, FeatureType, TrainingDataset};
use twinfold_wire::record::arrow_type_of;

use super::csv::CsvReader;
use super::digest::DatasetDigest;
use super::{DatasetPlace, QUEUE_BATCHES_MAX, extension};
use crate::execute::Rows;
use crate::{Error, Result};

/// Reads one split in the order of its rows. Files of a digest are not checked; see [`verify`].
pub fn read_dataset(
    folder: &Path,
    format: DatasetFormat,
    split: &str,
    features: &[(String, FeatureType)],
) -> Result<Rows> {
    let files = files_of(folder, format, split)?;
    let schema = schema_of(features);
    let batches = read_files(files, format, Arc::clone(&schema), None);
    Ok(Rows::new(schema, batches))
}

/// The rows of some files, read on a thread of its own. `spool` is what the files lie in, when they go
/// with their reader.
pub(super) fn read_files(
    files: Vec<PathBuf>,
    format: DatasetFormat,
    schema: SchemaRef,
    spool: Option<TempDir>,
) -> impl Stream<Item = Result<RecordBatch>> + Send + use<> {
    let (sender, receiver) = mpsc::channel(QUEUE_BATCHES_MAX);
    tokio::task::spawn_blocking(move || {
        for file in files {
            let emit = |batch| sender.blocking_send(Ok(batch)).is_ok();
            match read_file(&file, format, &schema, emit) {
                Ok(true) => {}
                // The reader has gone.
                Ok(false) => break,
                Err(error) => {
                    if sender.blocking_send(Err(error)).is_err() {
                        tracing::debug!("a reader left before it saw that a file is broken");
                    }
                    break;
                }
            }
        }
        drop(spool);
    });
    futures::stream::unfold(receiver, |mut receiver| async {
        let batch = receiver.recv().await?;
        Some((batch, receiver))
    })
}

/// The digest of the files as they are now.
pub async fn digest_files(folder: &Path, dataset: &TrainingDataset) -> Result<DatasetDigest> {
    let place = DatasetPlace::Folder(folder.to_owned());
    place.digest(dataset).await
}

/// Checks that the files still hold what was written; [`Error::DigestMismatch`] otherwise.
///
/// That the query still gives the same rows is checked by running it again at the dataset's pins
/// and comparing [`digest_rows`](super::digest_rows).
pub async fn verify(folder: &Path, dataset: &TrainingDataset) -> Result<()> {
    let found = digest_files(folder, dataset).await?.combined();
    if found == dataset.digest {
        return Ok(());
    }
    Err(Error::DigestMismatch {
        found,
        wanted: dataset.digest.clone(),
    })
}

pub(super) fn schema_of(features: &[(String, FeatureType)]) -> SchemaRef {
    let field =
        |(name, r#type): &(String, FeatureType)| Field::new(name, arrow_type_of(r#type), true);
    Arc::new(Schema::new(features.iter().map(field).collect::<Vec<_>>()))
}

/// The files of a split in the order of its rows, which is that of their names.
fn files_of(folder: &Path, format: DatasetFormat, split: &str) -> Result<Vec<PathBuf>> {
    let split_folder = folder.join(split);
    if !split_folder.is_dir() {
        return Err(Error::UnknownSplit {
            path: folder.to_owned(),
            split: split.to_owned(),
        });
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(&split_folder).map_err(Error::io(&split_folder))? {
        let path = entry.map_err(Error::io(&split_folder))?.path();
        if path
            .extension()
            .is_some_and(|found| found == extension(format))
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Gives every batch of a file to `emit` until it answers false; answers whether it never did.
fn read_file(
    path: &Path,
    format: DatasetFormat,
    schema: &SchemaRef,
    emit: impl Fn(RecordBatch) -> bool,
) -> Result<bool> {
    let corrupt = |reason: String| Error::Corrupt {
        path: path.to_owned(),
        reason,
    };
    let file = File::open(path).map_err(Error::io(path))?;
    match format {
        DatasetFormat::Parquet => {
            let reader = ParquetRecordBatchReaderBuilder::try_new(file)
                .and_then(|builder| builder.build())
                .map_err(|error| corrupt(error.to_string()))?;
            for batch in reader {
                let batch = batch
                    .and_then(|batch| {
                        RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec())
                    })
                    .map_err(|error| corrupt(error.to_string()))?;
                if !emit(batch) {
                    return Ok(false);
                }
            }
        }
        DatasetFormat::Csv => {
            let mut reader =
                CsvReader::new(BufReader::new(file), Arc::clone(schema)).map_err(corrupt)?;
            while let Some(batch) = reader.next_batch().map_err(corrupt)? {
                if !emit(batch) {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}
