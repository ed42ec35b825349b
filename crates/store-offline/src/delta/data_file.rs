//! Parquet files: how rows lie in a table's folder.
//!
//! A file is flushed to the disk before its name is handed out. Files that were not handed out are
//! deleted, so that a full disk does not stay full of half-written rows.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use uuid::Uuid;

use super::bounds::{FileStatistics, is_bounded};
use super::folder::sync_folder;
use crate::Result;

/// A larger append becomes several files, which a scan reads in parallel.
const FILE_BYTES_MAX: usize = 256 << 20;
/// Bounds the memory of a writer and is the unit of parallel reading.
const ROW_GROUP_BYTES_MAX: usize = 64 << 20;
const ROW_GROUP_ROWS_MAX: usize = 256 << 10;
const PAGE_BYTES_MAX: usize = 1 << 20;
/// A dictionary pays for columns of few values; one that outgrows this is given up.
const DICTIONARY_BYTES_MAX: usize = 128 << 10;
const READ_BATCH_ROWS: usize = 8192;

/// A finished file of a table's folder.
#[derive(Debug)]
pub(super) struct DataFile {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// What an `add` action says of it.
    pub(super) statistics: String,
}

/// Writes batches of one schema into as many files as they need.
pub(super) struct DataFiles {
    folder: PathBuf,
    schema: SchemaRef,
    properties: WriterProperties,
    open: Option<OpenFile>,
    finished: Vec<DataFile>,
    /// Deleted on drop.
    unclaimed: Vec<PathBuf>,
}

struct OpenFile {
    name: String,
    writer: ArrowWriter<File>,
    statistics: FileStatistics,
}

impl DataFiles {
    pub(super) fn new(folder: PathBuf, schema: SchemaRef) -> Self {
        Self {
            folder,
            properties: writer_properties(&schema),
            schema,
            open: None,
            finished: Vec::new(),
            unclaimed: Vec::new(),
        }
    }

    /// The batch must have the schema of the files.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mut file = match self.open.take() {
            Some(file) => file,
            None => self.start()?,
        };
        file.writer.write(batch)?;
        file.statistics.add(batch);
        if file.writer.bytes_written() + file.writer.in_progress_size() < FILE_BYTES_MAX {
            self.open = Some(file);
            return Ok(());
        }
        self.end(file)
    }

    /// What is written next goes into another file.
    pub(super) fn cut(&mut self) -> Result<()> {
        self.open.take().map_or(Ok(()), |file| self.end(file))
    }

    pub(super) fn finish(mut self) -> Result<Vec<DataFile>> {
        self.cut()?;
        if !self.finished.is_empty() {
            sync_folder(&self.folder)?;
        }
        self.unclaimed.clear();
        Ok(std::mem::take(&mut self.finished))
    }

    fn start(&mut self) -> Result<OpenFile> {
        let name = format!("part-{}.parquet", Uuid::new_v4());
        let path = self.folder.join(&name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)?;
        self.unclaimed.push(path);
        let writer =
            ArrowWriter::try_new(file, self.schema.clone(), Some(self.properties.clone()))?;
        Ok(OpenFile {
            name,
            writer,
            statistics: FileStatistics::new(&self.schema),
        })
    }

    fn end(&mut self, mut file: OpenFile) -> Result<()> {
        file.writer.finish()?;
        file.writer.inner().sync_all()?;
        self.finished.push(DataFile {
            name: file.name,
            bytes: file.writer.bytes_written() as u64,
            statistics: file.statistics.to_json(),
        });
        Ok(())
    }
}

impl Drop for DataFiles {
    fn drop(&mut self) {
        for path in &self.unclaimed {
            delete_orphan(path);
        }
    }
}

/// Deletes a file that no commit names; when that fails, a later vacuum finds it.
fn delete_orphan(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "could not delete an unused data file");
    }
}

/// Reads a file back. It may lack columns of the table; those that it has are as the table has them.
pub(super) fn read(
    path: &Path,
    table: SchemaRef,
) -> Result<impl Iterator<Item = Result<RecordBatch>> + use<>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?
        .with_batch_size(READ_BATCH_ROWS)
        .build()?;
    Ok(reader.map(move |batch| as_in_table(&batch?, &table)))
}

/// Parquet and Arrow have different names for what is inside lists and maps.
fn as_in_table(batch: &RecordBatch, table: &Schema) -> Result<RecordBatch> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let wanted = table.field_with_name(field.name())?;
        columns.push(cast(column, wanted.data_type())?);
        fields.push(wanted.clone());
    }
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}

/// Statistics inside the file serve the same columns as those in the log, and numbers, where they
/// cost next to nothing.
fn writer_properties(schema: &Schema) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("twinfold ", env!("CARGO_PKG_VERSION")).to_owned())
        // Measured on rows of 940 bytes, mostly text: as fast as LZ4 and a quarter smaller; zstd takes
        // two fifths more time.
        .set_compression(Compression::SNAPPY)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_data_page_size_limit(PAGE_BYTES_MAX)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES_MAX))
        .set_statistics_enabled(EnabledStatistics::None)
        // The element names that the Parquet standard asks for; other readers rely on them.
        .set_coerce_types(true);
    for field in schema.fields() {
        let path = || ColumnPath::from(field.name().as_str());
        if is_bounded(field) {
            builder = builder.set_column_statistics_enabled(path(), EnabledStatistics::Page);
        } else if is_number(field.data_type()) {
            builder = builder.set_column_statistics_enabled(path(), EnabledStatistics::Chunk);
        }
    }
    builder.build()
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_primitive() || matches!(data_type, DataType::Boolean)
}
