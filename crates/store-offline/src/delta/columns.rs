//! Between the canonical Arrow schema and the schema in a table's log.
//!
//! Delta has no fixed-size list and does not say how list items and map entries are named in Arrow.
//! So each column carries its feature type as metadata under [`TYPE_KEY`], and the Arrow schema is
//! made from that. Other engines see an embedding as an array of floats.

use std::sync::Arc;

use arrow::array::new_null_array;
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use deltalake_core::kernel::{
    ArrayType, DataType, MapType, MetadataValue, PrimitiveType, StructField, StructType,
};
use twinfold_model::FeatureType;
use twinfold_wire::record::{arrow_type_of, feature_type_of};

const TYPE_KEY: &str = "twinfold.type";

/// Why two schemas, or a batch and a schema, do not go together.
type Reason = String;

/// The columns of a new table.
pub(super) fn delta_columns<'a>(
    fields: impl IntoIterator<Item = &'a FieldRef>,
) -> Result<Vec<StructField>, Reason> {
    fields
        .into_iter()
        .map(|field| {
            let r#type = canonical_type(field)?;
            let column = StructField::new(field.name(), delta_type(&r#type)?, field.is_nullable());
            Ok(column.with_metadata([(TYPE_KEY, r#type.to_string())]))
        })
        .collect()
}

/// The canonical schema of a table, from what [`delta_columns`] put into its log.
pub(super) fn arrow_schema(columns: &StructType) -> Result<SchemaRef, Reason> {
    let fields: Vec<Field> = columns
        .fields()
        .map(|column| {
            let name = column.name();
            let Some(MetadataValue::String(text)) = column.metadata().get(TYPE_KEY) else {
                return Err(format!("column `{name}` does not say its `{TYPE_KEY}`"));
            };
            let r#type: FeatureType = text
                .parse()
                .map_err(|error| format!("column `{name}`: {error}"))?;
            Ok(Field::new(
                name,
                arrow_type_of(&r#type),
                column.is_nullable(),
            ))
        })
        .collect::<Result<_, Reason>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// What has to be added to the table so that it has every wanted column.
pub(super) fn missing_columns(table: &Schema, wanted: &Schema) -> Result<Vec<FieldRef>, Reason> {
    if let Some(surplus) = table
        .fields()
        .iter()
        .find(|field| wanted.column_with_name(field.name()).is_none())
    {
        return Err(format!(
            "has column `{}`, which is not wanted; columns cannot be dropped",
            surplus.name()
        ));
    }
    let mut missing = Vec::new();
    for field in wanted.fields() {
        match table.column_with_name(field.name()) {
            Some((_, found)) => same_column(found, field)?,
            None if field.is_nullable() => missing.push(field.clone()),
            None => {
                return Err(format!(
                    "lacks column `{}`, which cannot be added because it is not nullable",
                    field.name()
                ));
            }
        }
    }
    Ok(missing)
}

/// The batch with the columns of the table in their order. A nullable column that the batch lacks,
/// because its writer does not know it yet, is null.
pub(super) fn conform(batch: &RecordBatch, table: &SchemaRef) -> Result<RecordBatch, Reason> {
    if batch.schema_ref() == table {
        return Ok(batch.clone());
    }
    if let Some(surplus) = batch
        .schema_ref()
        .fields()
        .iter()
        .find(|field| table.column_with_name(field.name()).is_none())
    {
        return Err(format!(
            "the rows have column `{}`, which the table lacks",
            surplus.name()
        ));
    }
    let columns = table
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
            Some(column) => Err(format!(
                "column `{}` of the rows is {}, wanted {}",
                field.name(),
                column.data_type(),
                field.data_type()
            )),
            None if field.is_nullable() => Ok(new_null_array(field.data_type(), batch.num_rows())),
            None => Err(format!("the rows lack column `{}`", field.name())),
        })
        .collect::<Result<_, Reason>>()?;
    // Refuses nulls where the table has none.
    RecordBatch::try_new(table.clone(), columns).map_err(|error| error.to_string())
}

fn same_column(found: &Field, wanted: &Field) -> Result<(), Reason> {
    let name = found.name();
    let (found_type, wanted_type) = (canonical_type(found)?, canonical_type(wanted)?);
    if found_type != wanted_type {
        return Err(format!(
            "column `{name}` is {found_type}, wanted {wanted_type}"
        ));
    }
    let nullability = |field: &Field| match field.is_nullable() {
        true => "nullable",
        false => "not nullable",
    };
    if found.is_nullable() != wanted.is_nullable() {
        return Err(format!(
            "column `{name}` is {}, wanted {}",
            nullability(found),
            nullability(wanted)
        ));
    }
    Ok(())
}

fn canonical_type(field: &Field) -> Result<FeatureType, Reason> {
    let r#type = feature_type_of(field).map_err(|error| error.to_string())?;
    let canonical = arrow_type_of(&r#type);
    if *field.data_type() != canonical {
        return Err(format!(
            "column `{}` is {}, wanted the canonical {canonical}",
            field.name(),
            field.data_type()
        ));
    }
    Ok(r#type)
}

fn delta_type(r#type: &FeatureType) -> Result<DataType, Reason> {
    Ok(match r#type {
        FeatureType::Boolean => DataType::BOOLEAN,
        FeatureType::Int => DataType::INTEGER,
        FeatureType::BigInt => DataType::LONG,
        FeatureType::Float => DataType::FLOAT,
        FeatureType::Double => DataType::DOUBLE,
        FeatureType::Decimal { precision, scale } => PrimitiveType::decimal(*precision, *scale)
            .map_err(|error| error.to_string())?
            .into(),
        FeatureType::String => DataType::STRING,
        FeatureType::Binary => DataType::BINARY,
        FeatureType::Date => DataType::DATE,
        FeatureType::Timestamp => DataType::TIMESTAMP,
        FeatureType::Array(item) => ArrayType::new(delta_type(item)?, true).into(),
        FeatureType::Embedding(_) => ArrayType::new(DataType::FLOAT, true).into(),
        FeatureType::Map(value) => MapType::new(DataType::STRING, delta_type(value)?, true).into(),
        FeatureType::Struct(fields) => {
            let fields = fields
                .iter()
                .map(|field| {
                    Ok(StructField::nullable(
                        &field.name,
                        delta_type(&field.r#type)?,
                    ))
                })
                .collect::<Result<Vec<_>, Reason>>()?;
            StructType::try_new(fields)
                .map_err(|error| error.to_string())?
                .into()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Array, StringArray};
    use arrow::datatypes::DataType as ArrowType;

    fn schema(columns: &[(&str, &str, bool)]) -> SchemaRef {
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, r#type, nullable)| {
                Field::new(*name, arrow_type_of(&r#type.parse().unwrap()), *nullable)
            })
            .collect();
        Arc::new(Schema::new(fields))
    }

    #[test]
    fn every_canonical_schema_comes_back_from_the_log() {
        let wanted = schema(&[
            ("id", "bigint", false),
            ("price", "decimal(10,2)", true),
            ("at", "timestamp", true),
            ("vector", "embedding(3)", true),
            ("tags", "map<string,array<int>>", true),
            (
                "nested",
                "struct<a:embedding(2),b:array<struct<c:date>>>",
                true,
            ),
        ]);
        let columns = StructType::try_new(delta_columns(wanted.fields()).unwrap()).unwrap();
        let json = serde_json::to_string(&columns).unwrap();
        let read: StructType = serde_json::from_str(&json).unwrap();
        assert_eq!(arrow_schema(&read).unwrap(), wanted);
    }

    #[test]
    fn only_nullable_columns_are_added_and_other_differences_named() {
        let table = schema(&[("id", "bigint", false), ("a", "int", true)]);
        let evolved = schema(&[
            ("id", "bigint", false),
            ("a", "int", true),
            ("b", "string", true),
        ]);
        let missing = missing_columns(&table, &evolved).unwrap();
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].name(), "b");
        assert!(missing_columns(&evolved, &evolved).unwrap().is_empty());
        for (wanted, reason) in [
            (
                schema(&[("id", "bigint", false)]),
                "has column `a`, which is not wanted",
            ),
            (
                schema(&[("id", "bigint", false), ("a", "bigint", true)]),
                "column `a` is int, wanted bigint",
            ),
            (
                schema(&[("id", "bigint", false), ("a", "int", false)]),
                "column `a` is nullable, wanted not nullable",
            ),
            (
                schema(&[
                    ("id", "bigint", false),
                    ("a", "int", true),
                    ("c", "int", false),
                ]),
                "lacks column `c`",
            ),
        ] {
            let found = missing_columns(&table, &wanted).unwrap_err();
            assert!(found.contains(reason), "{found}");
        }
    }

    #[test]
    fn rows_of_an_older_schema_are_filled_and_foreign_rows_refused() {
        let table = schema(&[("id", "int", false), ("new", "string", true)]);
        let ids = || Arc::new(Int32Array::from(vec![1, 2]));
        let old = RecordBatch::try_new(schema(&[("id", "int", false)]), vec![ids()]).unwrap();
        let filled = conform(&old, &table).unwrap();
        assert_eq!(filled.schema(), table);
        assert_eq!(filled.column(1).null_count(), 2);

        let texts = Arc::new(StringArray::from(vec!["a", "b"]));
        let renamed = RecordBatch::try_new(
            schema(&[("id", "int", false), ("x", "string", true)]),
            vec![ids(), texts.clone()],
        )
        .unwrap();
        assert!(conform(&renamed, &table).unwrap_err().contains("`x`"));
        let retyped = RecordBatch::try_new(schema(&[("id", "string", false)]), vec![texts]);
        let reason = conform(&retyped.unwrap(), &table).unwrap_err();
        assert!(reason.contains("is Utf8, wanted Int32"), "{reason}");
        let nulls = Arc::new(Int32Array::from(vec![None, Some(1)]));
        let nullable = Arc::new(Schema::new(vec![Field::new("id", ArrowType::Int32, true)]));
        let nulls = RecordBatch::try_new(nullable, vec![nulls]).unwrap();
        assert!(conform(&nulls, &table).is_err());
    }
}
