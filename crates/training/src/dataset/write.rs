use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use tokio::sync::mpsc;
use twinfold_model::{DatasetFormat, DatasetSpec};

use super::digest::{ContentDigest, DatasetDigest, SplitDigest, features_of};
use super::split::Splitter;
use super::statistics::{RunningStatistics, joined};
use super::{DatasetPlace, QUEUE_BATCHES_MAX, Written, csv, extension};
use crate::execute::Rows;
use crate::{Error, Result};

/// A file of a split ends after this many rows.
const FILE_ROWS_MAX: usize = 4 << 20;
const ROW_GROUP_ROWS_MAX: usize = 1 << 20;

/// After the dot and the name of a folder while its files are written.
const UNFINISHED_SUFFIX: &str = ".unfinished";

/// Writes `rows` below `folder`, which must not exist; it appears at once when all is written. A failure
/// leaves nothing, nor does a caller that waits no longer; a crash leaves files beside it until
/// [`DatasetPlace::remove`](super::DatasetPlace::remove).
pub async fn write_dataset(rows: Rows, spec: &DatasetSpec, folder: &Path) -> Result<Written> {
    spec.validate()?;
    if spec.format == DatasetFormat::Csv {
        csv::check(rows.schema())?;
    }
    DatasetPlace::Folder(folder.to_owned()).check_free().await?;
    let mut draft = Draft {
        path: unfinished_folder(folder)?,
        is_kept: false,
    };
    let writer = begin(rows.schema(), spec, &draft.path).await?;
    let written = write_all(rows, writer).await?;
    // The names of the splits, before the name that says that all is there.
    sync(Some(&draft.path)).await?;
    // Here and not on another thread, which would go on when nobody waits for it any longer.
    fs::rename(&draft.path, folder).map_err(Error::io(folder))?;
    draft.path = folder.to_owned();
    sync(folder.parent()).await?;
    draft.is_kept = true;
    Ok(written)
}

/// Files that go again unless they became a dataset.
struct Draft {
    path: PathBuf,
    is_kept: bool,
}

impl Drop for Draft {
    /// At once, although it blocks: the next attempt may want the same name.
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(folder = %self.path.display(), %error, "unfinished dataset is left behind");
            }
            _ => {}
        }
    }
}

/// Beside the folder wanted, so that a rename finishes it.
pub(super) fn unfinished_folder(folder: &Path) -> Result<PathBuf> {
    let name = folder.file_name().ok_or_else(|| Error::InvalidSource {
        reason: format!("{} cannot be the folder of a dataset", folder.display()),
    })?;
    Ok(folder.with_file_name(format!(".{}{UNFINISHED_SUFFIX}", name.to_string_lossy())))
}

/// A writer into a fresh folder.
async fn begin(schema: &SchemaRef, spec: &DatasetSpec, folder: &Path) -> Result<DatasetWriter> {
    let (schema, spec, folder) = (schema.clone(), spec.clone(), folder.to_owned());
    tokio::task::spawn_blocking(move || {
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(Error::io(&folder))?;
        }
        if let Some(datasets) = folder.parent().filter(|datasets| !datasets.exists()) {
            fs::create_dir_all(datasets).map_err(Error::io(datasets))?;
            sync_folder(datasets.parent())?;
        }
        fs::create_dir(&folder).map_err(Error::io(&folder))?;
        DatasetWriter::new(&schema, &spec, &folder)
    })
    .await?
}

/// Encodes on a thread of its own while the query goes on.
async fn write_all(mut rows: Rows, mut writer: DatasetWriter) -> Result<Written> {
    let (sender, mut receiver) = mpsc::channel::<RecordBatch>(QUEUE_BATCHES_MAX);
    let encoding = tokio::task::spawn_blocking(move || {
        while let Some(batch) = receiver.blocking_recv() {
            writer.write(&batch)?;
        }
        Ok::<_, Error>(writer)
    });
    while let Some(batch) = rows.next().await {
        if sender.send(batch?).await.is_err() {
            // The writer has failed; its error is below.
            break;
        }
    }
    drop(sender);
    let writer = encoding.await??;
    tokio::task::spawn_blocking(move || writer.finish()).await?
}

struct DatasetWriter {
    schema: SchemaRef,
    format: DatasetFormat,
    splitter: Splitter,
    splits: Vec<SplitWriter>,
}

impl DatasetWriter {
    fn new(schema: &SchemaRef, spec: &DatasetSpec, folder: &Path) -> Result<Self> {
        let splitter = Splitter::new(&spec.splits, spec.seed);
        let mut splits = Vec::with_capacity(splitter.names().len());
        for name in splitter.names() {
            splits.push(SplitWriter::new(schema, spec.format, folder, name)?);
        }
        Ok(Self {
            schema: schema.clone(),
            format: spec.format,
            splitter,
            splits,
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        for (split, part) in self.splits.iter_mut().zip(self.splitter.deal(batch)?) {
            if part.num_rows() > 0 {
                split.write(&self.schema, self.format, &part)?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Written> {
        let mut files = Vec::new();
        let mut splits = Vec::with_capacity(self.splits.len());
        let mut statistics = Vec::with_capacity(self.splits.len());
        for split in self.splits {
            let written = split.finish()?;
            files.extend(written.files);
            statistics.push((written.digest.name.clone(), written.statistics));
            splits.push(written.digest);
        }
        let rows: BTreeMap<String, u64> = splits
            .iter()
            .map(|split| (split.name.clone(), split.rows))
            .collect();
        Ok(Written {
            files,
            rows,
            digest: DatasetDigest { splits }.combined(),
            features: features_of(&self.schema)?,
            statistics: joined(statistics),
        })
    }
}

/// One split whose files are all there.
struct WrittenSplit {
    files: Vec<PathBuf>,
    digest: SplitDigest,
    statistics: RunningStatistics,
}

struct SplitWriter {
    name: String,
    folder: PathBuf,
    content: ContentDigest,
    statistics: RunningStatistics,
    files: Vec<PathBuf>,
    /// The file being written and its rows.
    open: Option<(FileWriter, usize)>,
}

impl SplitWriter {
    fn new(schema: &SchemaRef, format: DatasetFormat, dataset: &Path, name: &str) -> Result<Self> {
        let folder = dataset.join(name);
        fs::create_dir(&folder).map_err(Error::io(&folder))?;
        let mut split = Self {
            name: name.to_owned(),
            folder,
            content: ContentDigest::new(schema)?,
            statistics: RunningStatistics::new(schema)?,
            files: Vec::new(),
            open: None,
        };
        // A split without rows still has a file that says its columns.
        split.open_file(schema, format)?;
        Ok(split)
    }

    fn open_file(&mut self, schema: &SchemaRef, format: DatasetFormat) -> Result<()> {
        let file = format!("part-{:05}.{}", self.files.len(), extension(format));
        self.open = Some((
            FileWriter::new(&self.folder.join(&file), schema, format)?,
            0,
        ));
        self.files.push(Path::new(&self.name).join(file));
        Ok(())
    }

    fn write(
        &mut self,
        schema: &SchemaRef,
        format: DatasetFormat,
        batch: &RecordBatch,
    ) -> Result<()> {
        self.content.update(batch)?;
        self.statistics.update(batch);
        if let Some((full, _)) = self.open.take_if(|(_, rows)| *rows >= FILE_ROWS_MAX) {
            full.finish()?;
        }
        if self.open.is_none() {
            self.open_file(schema, format)?;
        }
        if let Some((file, rows)) = &mut self.open {
            file.write(batch)?;
            *rows += batch.num_rows();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<WrittenSplit> {
        if let Some((file, _)) = self.open.take() {
            file.finish()?;
        }
        sync_folder(Some(&self.folder))?;
        Ok(WrittenSplit {
            files: self.files,
            digest: self.content.finish(&self.name),
            statistics: self.statistics,
        })
    }
}

enum FileWriter {
    Parquet {
        path: PathBuf,
        writer: Box<ArrowWriter<File>>,
    },
    Csv {
        path: PathBuf,
        writer: BufWriter<File>,
    },
}

impl FileWriter {
    fn new(path: &Path, schema: &SchemaRef, format: DatasetFormat) -> Result<Self> {
        let file = File::create_new(path).map_err(Error::io(path))?;
        let path = path.to_owned();
        Ok(match format {
            DatasetFormat::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::LZ4_RAW)
                    .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
                    .build();
                let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))?;
                let writer = Box::new(writer);
                Self::Parquet { path, writer }
            }
            DatasetFormat::Csv => {
                let mut writer = BufWriter::new(file);
                csv::write_header(schema, &mut writer).map_err(Error::io(&path))?;
                Self::Csv { path, writer }
            }
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Self::Parquet { writer, .. } => Ok(writer.write(batch)?),
            Self::Csv { path, writer } => {
                let lines = csv::lines(batch)?;
                writer.write_all(&lines).map_err(Error::io(&*path))
            }
        }
    }

    /// Ends the file and makes it durable.
    fn finish(self) -> Result<()> {
        let (path, file) = match self {
            Self::Parquet { path, writer } => (path, writer.into_inner()?),
            Self::Csv { path, writer } => {
                let file = writer.into_inner().map_err(|error| error.into_error());
                (path.clone(), file.map_err(Error::io(path))?)
            }
        };
        file.sync_all().map_err(Error::io(path))
    }
}

/// Like [`sync_folder`], away from the threads that answer.
async fn sync(folder: Option<&Path>) -> Result<()> {
    let folder = folder.map(Path::to_owned);
    tokio::task::spawn_blocking(move || sync_folder(folder.as_deref())).await?
}

/// Makes the names in a folder durable.
fn sync_folder(folder: Option<&Path>) -> Result<()> {
    let folder = match folder {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let opened = File::open(folder).and_then(|file| file.sync_all());
    opened.map_err(Error::io(folder))
}
