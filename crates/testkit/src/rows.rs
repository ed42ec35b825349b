//! Rows of a feature group as Arrow batches, in the canonical types.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeListArray,
    Float32Array, Float64Array, Int32Array, Int64Array, ListArray, MapArray, RecordBatch,
    StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use twinfold_model::{FeatureGroup, FeatureType, Value};

use crate::{bench_group, strategies};

/// `count` rows of any group; the same seed gives the same rows. Keys repeat now and then.
///
/// Made for correctness (every edge case comes up), not for speed: some 100,000 values a second.
pub fn rows(group: &FeatureGroup, seed: u64, count: usize) -> RecordBatch {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let row = strategies::row(group);
    let rows: Vec<_> = (0..count)
        .map(|_| row.new_tree(&mut runner).expect("no filters").current())
        .collect();
    batch(group, &rows)
}

/// Rows from values, one inner vector per row in the order of the group's features.
pub fn batch(group: &FeatureGroup, rows: &[Vec<Value>]) -> RecordBatch {
    let columns = group.features().iter().enumerate().map(|(index, feature)| {
        let values: Vec<&Value> = rows.iter().map(|row| &row[index]).collect();
        array(&feature.r#type, &values)
    });
    RecordBatch::try_new(arrow_schema(group), columns.collect()).expect("columns fit the schema")
}

/// The canonical Arrow schema of a group's rows.
pub fn arrow_schema(group: &FeatureGroup) -> SchemaRef {
    let fields = group.features().iter().map(|feature| {
        Field::new(
            feature.name.as_str(),
            arrow_type(&feature.r#type),
            feature.nullable,
        )
    });
    Arc::new(Schema::new(fields.collect::<Fields>()))
}

fn arrow_type(r#type: &FeatureType) -> DataType {
    match r#type {
        FeatureType::Boolean => DataType::Boolean,
        FeatureType::Int => DataType::Int32,
        FeatureType::BigInt => DataType::Int64,
        FeatureType::Float => DataType::Float32,
        FeatureType::Double => DataType::Float64,
        FeatureType::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale as i8),
        FeatureType::String => DataType::Utf8,
        FeatureType::Binary => DataType::Binary,
        FeatureType::Date => DataType::Date32,
        FeatureType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        FeatureType::Array(item) => DataType::List(item_field(item)),
        FeatureType::Map(value) => DataType::Map(
            Arc::new(Field::new(
                "entries",
                DataType::Struct(entry_fields(value)),
                false,
            )),
            false,
        ),
        FeatureType::Struct(fields) => DataType::Struct(
            fields
                .iter()
                .map(|field| Field::new(&field.name, arrow_type(&field.r#type), true))
                .collect(),
        ),
        FeatureType::Embedding(length) => DataType::FixedSizeList(embedding_item(), *length as i32),
    }
}

fn item_field(item: &FeatureType) -> Arc<Field> {
    Arc::new(Field::new("item", arrow_type(item), true))
}

fn embedding_item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Float32, true))
}

fn entry_fields(value: &FeatureType) -> Fields {
    Fields::from(vec![
        Field::new("keys", DataType::Utf8, false),
        Field::new("values", arrow_type(value), true),
    ])
}

/// What to do with each non-null value; a value of another type is a mistake in the test.
fn each<'a, T>(
    values: &[&'a Value],
    pick: impl Fn(&'a Value) -> Option<T>,
) -> impl Iterator<Item = Option<T>> {
    values.iter().map(move |value| match value {
        Value::Null => None,
        value => match pick(value) {
            Some(picked) => Some(picked),
            None => panic!(
                "a test made {} for a column of another type",
                value.describe()
            ),
        },
    })
}

macro_rules! each {
    ($values:expr, $variant:ident) => {
        each($values, |value| match value {
            Value::$variant(inner) => Some(inner.clone()),
            _ => None,
        })
    };
}

/// A column of values in the canonical Arrow type.
pub fn array(r#type: &FeatureType, values: &[&Value]) -> ArrayRef {
    match r#type {
        FeatureType::Boolean => Arc::new(each!(values, Boolean).collect::<BooleanArray>()),
        FeatureType::Int => Arc::new(each!(values, Int).collect::<Int32Array>()),
        FeatureType::BigInt => Arc::new(each!(values, BigInt).collect::<Int64Array>()),
        FeatureType::Float => Arc::new(each!(values, Float).collect::<Float32Array>()),
        FeatureType::Double => Arc::new(each!(values, Double).collect::<Float64Array>()),
        FeatureType::String => Arc::new(each!(values, String).collect::<StringArray>()),
        FeatureType::Binary => Arc::new(each!(values, Binary).collect::<BinaryArray>()),
        FeatureType::Date => Arc::new(each!(values, Date).collect::<Date32Array>()),
        FeatureType::Timestamp => Arc::new(
            each!(values, Timestamp)
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
        FeatureType::Decimal { precision, scale } => {
            let unscaled = each(values, |value| match value {
                Value::Decimal { unscaled, .. } => Some(*unscaled),
                _ => None,
            });
            Arc::new(
                unscaled
                    .collect::<Decimal128Array>()
                    .with_precision_and_scale(*precision, *scale as i8)
                    .expect("a decimal that fits"),
            )
        }
        FeatureType::Array(item) => Arc::new(list_array(item, values)),
        FeatureType::Map(value) => Arc::new(map_array(value, values)),
        FeatureType::Struct(_) => Arc::new(struct_array(r#type, values)),
        FeatureType::Embedding(length) => Arc::new(embedding_array(*length, values)),
    }
}

fn validity(values: &[&Value]) -> NullBuffer {
    values.iter().map(|value| !value.is_null()).collect()
}

fn list_array(item: &FeatureType, values: &[&Value]) -> ListArray {
    let lists: Vec<&[Value]> = values
        .iter()
        .map(|value| match value {
            Value::Array(items) => items.as_slice(),
            _ => &[],
        })
        .collect();
    let items: Vec<&Value> = lists.iter().copied().flatten().collect();
    let offsets = OffsetBuffer::from_lengths(lists.iter().map(|list| list.len()));
    let nulls = Some(validity(values));
    ListArray::new(item_field(item), offsets, array(item, &items), nulls)
}

fn map_array(value: &FeatureType, values: &[&Value]) -> MapArray {
    let maps: Vec<&[(String, Value)]> = values
        .iter()
        .map(|value| match value {
            Value::Map(entries) => entries.as_slice(),
            _ => &[],
        })
        .collect();
    let keys: StringArray = maps
        .iter()
        .copied()
        .flatten()
        .map(|(key, _)| Some(key))
        .collect();
    let items: Vec<&Value> = maps
        .iter()
        .copied()
        .flatten()
        .map(|(_, item)| item)
        .collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(keys), array(value, &items)];
    let fields = entry_fields(value);
    let entries_field = Field::new("entries", DataType::Struct(fields.clone()), false);
    MapArray::new(
        Arc::new(entries_field),
        OffsetBuffer::from_lengths(maps.iter().map(|map| map.len())),
        StructArray::new(fields, columns, None),
        Some(validity(values)),
        false,
    )
}

fn struct_array(r#type: &FeatureType, values: &[&Value]) -> StructArray {
    let (FeatureType::Struct(fields), DataType::Struct(arrow_fields)) =
        (r#type, arrow_type(r#type))
    else {
        panic!("{type} is not a struct");
    };
    let columns = fields.iter().enumerate().map(|(index, field)| {
        let column: Vec<&Value> = values
            .iter()
            .map(|value| match value {
                Value::Struct(values) => &values[index],
                _ => &Value::Null,
            })
            .collect();
        array(&field.r#type, &column)
    });
    StructArray::new(arrow_fields, columns.collect(), Some(validity(values)))
}

fn embedding_array(length: u32, values: &[&Value]) -> FixedSizeListArray {
    let mut floats = Vec::with_capacity(values.len() * length as usize);
    for value in values {
        match value {
            Value::Embedding(vector) if vector.len() == length as usize => floats.extend(vector),
            Value::Null => floats.resize(floats.len() + length as usize, 0.0),
            value => panic!("found {}, wanted embedding({length})", value.describe()),
        }
    }
    let floats: ArrayRef = Arc::new(Float32Array::from(floats));
    let nulls = Some(validity(values));
    FixedSizeListArray::new(embedding_item(), length as i32, floats, nulls)
}

/// 2024-01-01T00:00:00Z.
pub const BENCH_START_US: i64 = 1_704_067_200_000_000;
/// Four strings of this length bring a record to about 940 bytes.
const BENCH_STRING_BYTES: usize = 217;
const HOUR_US: i64 = 3_600_000_000;

/// Rows of [`bench_group`] with ids `first_id..first_id + count`, made at about a million a second.
///
/// The seed is also the round: the same ids with the next seed are an hour younger.
pub fn bench_rows(first_id: i64, count: usize, seed: u64) -> RecordBatch {
    let round = (seed % 10_000) as i64;
    let ids = first_id..first_id + count as i64;
    let mut rng = SplitMix::new(seed ^ (first_id as u64).rotate_left(32));
    let times = ids
        .clone()
        .map(|id| BENCH_START_US + round * HOUR_US + id * 1_000);
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids)),
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
    ];
    for _ in 0..3 {
        let doubles = (0..count).map(|_| (rng.next() >> 11) as f64 / (1_u64 << 53) as f64);
        columns.push(Arc::new(Float64Array::from_iter_values(doubles)));
    }
    for _ in 0..2 {
        let ints = (0..count).map(|_| (rng.next() >> 44) as i32);
        columns.push(Arc::new(Int32Array::from_iter_values(ints)));
    }
    for _ in 0..4 {
        columns.push(Arc::new(random_strings(&mut rng, count)));
    }
    RecordBatch::try_new(arrow_schema(&bench_group()), columns).expect("columns fit the schema")
}

fn random_strings(rng: &mut SplitMix, count: usize) -> StringArray {
    const ALPHABET: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -";
    const CHARS_PER_DRAW: usize = 10;
    let bytes_total = count * BENCH_STRING_BYTES;
    let mut text = Vec::with_capacity(bytes_total + CHARS_PER_DRAW);
    while text.len() < bytes_total {
        let draw = rng.next();
        let letters = (0..CHARS_PER_DRAW).map(|n| ALPHABET[(draw >> (6 * n)) as usize & 63]);
        text.extend(letters);
    }
    text.truncate(bytes_total);
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(BENCH_STRING_BYTES, count));
    StringArray::new(offsets, Buffer::from_vec(text), None)
}

/// The SplitMix64 generator: tiny, fast, and the same numbers on every machine.
#[derive(Debug, Clone)]
pub struct SplitMix {
    state: u64,
}

impl SplitMix {
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number from 0 to `end`, without it.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;

    use super::*;
    use crate::all_types_group;

    #[test]
    fn a_seed_decides_the_rows() {
        let group = all_types_group();
        let once = rows(&group, 7, 50);
        assert_eq!(once.num_rows(), 50);
        assert_eq!(once, rows(&group, 7, 50));
        assert_ne!(once, rows(&group, 8, 50));
    }

    #[test]
    fn nulls_and_values_of_every_type_come_up() {
        let all = rows(&all_types_group(), 1, 200);
        for (field, column) in all.schema().fields().iter().zip(all.columns()) {
            let nulls = column.null_count();
            assert_eq!(nulls > 0, field.is_nullable(), "{}", field.name());
            assert!(nulls < 150, "{}: {nulls} nulls", field.name());
        }
    }

    #[test]
    fn bench_rows_are_repeatable_and_their_strings_have_their_length() {
        let batch = bench_rows(100, 3, 2);
        assert_eq!(batch, bench_rows(100, 3, 2));
        assert_eq!(batch.num_columns(), 11);
        let city = batch.column_by_name("city").expect("exists");
        let city = city
            .as_any()
            .downcast_ref::<StringArray>()
            .expect("strings");
        assert_eq!(city.value(2).len(), BENCH_STRING_BYTES);
        assert_ne!(city.value(1), city.value(2));
        assert_eq!(bench_rows(0, 0, 1).num_rows(), 0);
    }
}
