//! SHA-256 over content: independent of batches, threads, file format and compression.
//!
//! Every column is hashed on its own, in the order of rows: a byte per row for being null or not,
//! and its values in a canonical form, fixed-width ones little-endian with nulls as zero, strings as
//! lengths and bytes, nested ones as lengths and the same again for what they hold.

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait, PrimitiveArray, make_array};
use arrow::compute::{filter, is_not_null};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type,
    Int64Type, SchemaRef, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use sha2::{Digest, Sha256};
use twinfold_model::{DatasetSplit, FeatureType};
use twinfold_wire::record::feature_type_of;

use super::split::Splitter;
use crate::execute::Rows;
use crate::{Error, Result};

const CONTENT_VERSION: &[u8] = b"twinfold dataset content 1\n";
const DATASET_VERSION: &[u8] = b"twinfold dataset 1\n";

const _: () = assert!(
    cfg!(target_endian = "little"),
    "values are hashed as they lie in memory"
);

/// The digest of one split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitDigest {
    pub name: String,
    pub rows: u64,
    pub digest: [u8; 32],
}

/// The digests of a dataset's splits in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetDigest {
    pub splits: Vec<SplitDigest>,
}

impl DatasetDigest {
    /// One digest for all, in hexadecimal.
    pub fn combined(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(DATASET_VERSION);
        for split in &self.splits {
            update_text(&mut hash, &split.name);
            hash.update(split.digest);
        }
        let digest: [u8; 32] = hash.finalize().into();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The digest of the dataset that [`write_dataset`](super::write_dataset) would make of `rows`.
pub async fn digest_rows(
    mut rows: Rows,
    splits: &[DatasetSplit],
    seed: u64,
) -> Result<DatasetDigest> {
    let mut splitter = Splitter::new(splits, seed);
    let mut contents = Vec::with_capacity(splitter.names().len());
    for _ in splitter.names() {
        contents.push(ContentDigest::new(rows.schema())?);
    }
    while let Some(batch) = rows.next().await {
        for (content, part) in contents.iter_mut().zip(splitter.deal(&batch?)?) {
            content.update(&part)?;
        }
    }
    let named = splitter.names().iter().zip(contents);
    Ok(DatasetDigest {
        splits: named.map(|(name, content)| content.finish(name)).collect(),
    })
}

/// Names and types of a schema's columns.
pub(super) fn features_of(schema: &SchemaRef) -> Result<Vec<(String, FeatureType)>> {
    let feature = |field: &arrow::datatypes::FieldRef| {
        Ok::<_, Error>((field.name().clone(), feature_type_of(field)?))
    };
    schema.fields().iter().map(feature).collect()
}

/// The running digest of one split.
pub(super) struct ContentDigest {
    features: Vec<(String, FeatureType)>,
    columns: Vec<ColumnDigest>,
    rows: u64,
}

impl ContentDigest {
    pub(super) fn new(schema: &SchemaRef) -> Result<Self> {
        let type_of = |field: &arrow::datatypes::FieldRef| ColumnDigest::new(field.data_type());
        Ok(Self {
            features: features_of(schema)?,
            columns: schema.fields().iter().map(type_of).collect(),
            rows: 0,
        })
    }

    pub(super) fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        for (digest, column) in self.columns.iter_mut().zip(batch.columns()) {
            digest.update(column)?;
        }
        Ok(())
    }

    pub(super) fn finish(self, name: &str) -> SplitDigest {
        let mut hash = Sha256::new();
        hash.update(CONTENT_VERSION);
        hash.update(self.rows.to_le_bytes());
        for ((name, r#type), column) in self.features.iter().zip(self.columns) {
            update_text(&mut hash, name);
            update_text(&mut hash, &r#type.to_string());
            hash.update(column.finish());
        }
        SplitDigest {
            name: name.to_owned(),
            rows: self.rows,
            digest: hash.finalize().into(),
        }
    }
}

/// Separate streams for what is interleaved per row, so that each can be hashed a buffer at a time.
struct ColumnDigest {
    validity: Sha256,
    /// Lengths of strings, binaries, lists and maps.
    lengths: Sha256,
    values: Sha256,
    children: Vec<ColumnDigest>,
}

impl ColumnDigest {
    fn new(data_type: &DataType) -> Self {
        let children = match data_type {
            DataType::List(item) | DataType::FixedSizeList(item, _) | DataType::Map(item, _) => {
                vec![Self::new(item.data_type())]
            }
            DataType::Struct(fields) => fields
                .iter()
                .map(|field| Self::new(field.data_type()))
                .collect(),
            _ => Vec::new(),
        };
        Self {
            validity: Sha256::new(),
            lengths: Sha256::new(),
            values: Sha256::new(),
            children,
        }
    }

    fn update(&mut self, column: &ArrayRef) -> Result<()> {
        match column.nulls() {
            None => self.validity.update(vec![1; column.len()]),
            Some(nulls) => {
                let bytes: Vec<u8> = nulls.iter().map(u8::from).collect();
                self.validity.update(bytes);
            }
        }
        match column.data_type() {
            DataType::Boolean => {
                let values = column.as_boolean().iter();
                let bytes: Vec<u8> = values.map(|v| u8::from(v.unwrap_or_default())).collect();
                self.values.update(bytes);
            }
            DataType::Int32 => self.fixed(column.as_primitive::<Int32Type>()),
            DataType::Int64 => self.fixed(column.as_primitive::<Int64Type>()),
            DataType::Date32 => self.fixed(column.as_primitive::<Date32Type>()),
            DataType::Timestamp(..) => {
                self.fixed(column.as_primitive::<TimestampMicrosecondType>())
            }
            DataType::Decimal128(..) => self.fixed(column.as_primitive::<Decimal128Type>()),
            DataType::Float32 => self.fixed(
                &column
                    .as_primitive::<Float32Type>()
                    .unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v }),
            ),
            DataType::Float64 => self.fixed(
                &column
                    .as_primitive::<Float64Type>()
                    .unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v }),
            ),
            DataType::Utf8 => self.bytes(column.as_string::<i32>().iter()),
            DataType::Binary => self.bytes(column.as_binary::<i32>().iter()),
            _ => self.nested(column)?,
        }
        Ok(())
    }

    fn fixed<T: ArrowPrimitiveType>(&mut self, column: &PrimitiveArray<T>) {
        if column.null_count() == 0 {
            self.values.update(bytes_of::<T>(column.values()));
        } else {
            let values: Vec<T::Native> = column.iter().map(Option::unwrap_or_default).collect();
            self.values.update(bytes_of::<T>(&values));
        }
    }

    fn bytes<B: AsRef<[u8]>>(&mut self, values: impl Iterator<Item = Option<B>>) {
        let mut lengths = Vec::new();
        let mut bytes = Vec::new();
        for value in values {
            let value = value.as_ref().map_or(&[][..], AsRef::as_ref);
            lengths.extend_from_slice(&(value.len() as u32).to_le_bytes());
            bytes.extend_from_slice(value);
        }
        self.lengths.update(lengths);
        self.values.update(bytes);
    }

    /// Hashes what the values that are not null hold.
    fn nested(&mut self, column: &ArrayRef) -> Result<()> {
        let present = match column.null_count() {
            0 => column.clone(),
            _ => filter(column, &is_not_null(column)?)?,
        };
        match present.data_type() {
            DataType::List(_) => {
                let list = present.as_list::<i32>();
                self.lengths(list.offsets());
                let items = within(list.values(), list.offsets());
                self.children[0].update(&items)
            }
            DataType::Map(..) => {
                let map = present.as_map();
                self.lengths(map.offsets());
                let entries = make_array(map.entries().to_data());
                self.children[0].update(&within(&entries, map.offsets()))
            }
            DataType::FixedSizeList(_, size) => {
                let list = present.as_fixed_size_list();
                let size = *size as usize;
                let first = list.value_offset(0) as usize;
                let items = list.values().slice(first, list.len() * size);
                self.children[0].update(&items)
            }
            DataType::Struct(_) => {
                for (child, column) in self.children.iter_mut().zip(present.as_struct().columns()) {
                    child.update(column)?;
                }
                Ok(())
            }
            other => Err(Error::InvalidSource {
                reason: format!("a column of type {other} has no canonical form"),
            }),
        }
    }

    fn lengths(&mut self, offsets: &[i32]) {
        for pair in offsets.windows(2) {
            self.lengths.update((pair[1] - pair[0]).to_le_bytes());
        }
    }

    fn finish(self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.validity.finalize());
        hash.update(self.lengths.finalize());
        hash.update(self.values.finalize());
        for child in self.children {
            hash.update(child.finish());
        }
        hash.finalize().into()
    }
}

/// The items that a list array's offsets cover.
fn within<O: OffsetSizeTrait>(items: &ArrayRef, offsets: &[O]) -> ArrayRef {
    let (first, last) = (offsets[0].as_usize(), offsets[offsets.len() - 1].as_usize());
    items.slice(first, last - first)
}

fn bytes_of<T: ArrowPrimitiveType>(values: &[T::Native]) -> &[u8] {
    use arrow::datatypes::ToByteSlice;
    values.to_byte_slice()
}

fn update_text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text);
}
