//! How the features wanted are found in the bytes of one writer: compiled once per pair, walked per record.

use std::collections::HashMap;

use twinfold_model::{Coercion, Feature, FeatureGroup, FeatureType, StructField, Value, coercion};

use super::writer_schema::{Kind, Logical, NodeId, WriterField, WriterSchema};
use crate::{Error, Result};

/// The walk through a record of one writer.
#[derive(Debug)]
pub(crate) struct RecordPlan {
    pub(crate) schema: WriterSchema,
    /// One per field of the writer, in the order of the bytes.
    pub(crate) steps: Vec<Step>,
    /// Features that the writer does not have, and what stands for them.
    pub(crate) absent: Vec<(usize, Value)>,
    /// Names of the features wanted, for defects.
    pub(crate) names: Vec<String>,
}

#[derive(Debug)]
pub(crate) enum Step {
    Skip(NodeId),
    /// Reads the wanted feature (or struct field) of this index.
    Read(usize, Slot),
}

/// A value that may be null.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) union: Union,
    pub(crate) on_null: OnNull,
    /// Floats that Arrow keeps for a null.
    pub(crate) null_floats: usize,
    pub(crate) reader: Reader,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Union {
    None,
    /// The branch that is null, 0 or 1.
    NullAt(u8),
    /// The writer has null alone.
    AlwaysNull,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnNull {
    Keep,
    NullKey,
    NullValue,
}

/// From the writer's type to the feature's.
#[derive(Debug)]
pub(crate) enum Reader {
    Boolean,
    Int,
    IntToBigInt,
    IntToDouble,
    BigInt,
    Float,
    FloatToDouble,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
        /// `None`: the length stands before the bytes.
        fixed: Option<usize>,
    },
    String,
    Binary {
        fixed: Option<usize>,
    },
    Date,
    /// A date that must also have its midnight in microseconds.
    EventDate,
    DateToTimestamp,
    Timestamp,
    TimestampMillis,
    Array(Box<Slot>),
    Map(Box<Slot>),
    Struct(StructPlan),
    Embedding {
        length: u32,
        item: Union,
    },
}

#[derive(Debug)]
pub(crate) struct StructPlan {
    pub(crate) steps: Vec<Step>,
    /// Fields that the writer does not have: null.
    pub(crate) absent: Vec<usize>,
    pub(crate) absent_floats: usize,
    pub(crate) fields: usize,
}

impl RecordPlan {
    /// All features of a group, the event time with its range check.
    pub(crate) fn for_group(writer_avro_json: &str, group: &FeatureGroup) -> Result<Self> {
        let mut plan = Self::compile(writer_avro_json, group.features())?;
        for step in &mut plan.steps {
            let Step::Read(index, slot) = step else {
                continue;
            };
            if group.event_time() == Some(*index) && matches!(slot.reader, Reader::Date) {
                slot.reader = Reader::EventDate;
            }
            if group.primary_key().contains(index) {
                slot.on_null = OnNull::NullKey;
            }
        }
        for index in group
            .primary_key()
            .iter()
            .copied()
            .chain(group.event_time())
        {
            if plan.absent.iter().any(|(absent, _)| *absent == index) {
                return Err(missing(&group.features()[index], &plan.schema));
            }
        }
        Ok(plan)
    }

    pub(crate) fn compile(writer_avro_json: &str, wanted: &[Feature]) -> Result<Self> {
        let schema = WriterSchema::parse(writer_avro_json)?;
        let mut indices: HashMap<&str, usize> = HashMap::with_capacity(wanted.len());
        for (index, feature) in wanted.iter().enumerate() {
            if indices.insert(feature.name.as_str(), index).is_some() {
                return Err(Error::WriterSchema {
                    reason: format!("feature `{}` is wanted twice", feature.name),
                });
            }
        }
        let mut found = vec![false; wanted.len()];
        let steps = schema
            .fields()
            .iter()
            .map(|field| match indices.get(field.name.as_str()) {
                None => Ok(Step::Skip(field.node)),
                Some(&index) => {
                    mark(&mut found, index, field)?;
                    let feature = &wanted[index];
                    let compiler = Compiler {
                        schema: &schema,
                        feature: feature.name.as_str(),
                    };
                    let on_null = if feature.nullable {
                        OnNull::Keep
                    } else {
                        OnNull::NullValue
                    };
                    let slot = compiler.slot(field.node, &feature.r#type, on_null)?;
                    Ok(Step::Read(index, slot))
                }
            })
            .collect::<Result<Vec<_>>>()?;
        let absent = found
            .iter()
            .enumerate()
            .filter(|(_, found)| !**found)
            .map(|(index, _)| Ok((index, stand_in(&wanted[index], &schema)?)))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            steps,
            absent,
            names: wanted.iter().map(|f| f.name.to_string()).collect(),
            schema,
        })
    }
}

fn mark(found: &mut [bool], index: usize, field: &WriterField) -> Result<()> {
    if std::mem::replace(&mut found[index], true) {
        return Err(Error::WriterSchema {
            reason: format!("field `{}` stands twice", field.name),
        });
    }
    Ok(())
}

/// What a reader sees for a feature that the writer does not have.
fn stand_in(feature: &Feature, schema: &WriterSchema) -> Result<Value> {
    match feature_default(feature)? {
        Some(default) => Ok(default),
        None => Err(missing(feature, schema)),
    }
}

/// The default of a feature in its own type, null for a nullable one without.
pub(crate) fn feature_default(feature: &Feature) -> twinfold_model::Result<Option<Value>> {
    match &feature.default {
        Some(default) if !default.is_null() => default
            .clone()
            .coerced_to(feature.name.as_str(), &feature.r#type)
            .map(Some),
        _ => Ok(feature.nullable.then_some(Value::Null)),
    }
}

fn missing(feature: &Feature, schema: &WriterSchema) -> Error {
    Error::Model(twinfold_model::Error::UnknownFeature {
        feature: feature.name.to_string(),
        owner: "the writer schema".to_owned(),
        known: schema.fields().iter().map(|f| f.name.clone()).collect(),
    })
}

struct Compiler<'a> {
    schema: &'a WriterSchema,
    feature: &'a str,
}

impl Compiler<'_> {
    fn refuse<T>(&self, found: NodeId, wanted: &FeatureType) -> Result<T> {
        Err(Error::Model(twinfold_model::Error::TypeMismatch {
            feature: self.feature.to_owned(),
            found: self.schema.describe(found),
            wanted: wanted.to_string(),
            row: None,
        }))
    }

    /// Recursion follows the wanted type, whose depth the model bounds.
    fn slot(&self, id: NodeId, wanted: &FeatureType, on_null: OnNull) -> Result<Slot> {
        let (union, inner) = match &self.schema.node(id).kind {
            Kind::Null if on_null == OnNull::Keep => (Union::AlwaysNull, id),
            Kind::Union(branches) => match self.nullable(branches) {
                Some((union, inner)) => (union, inner),
                None => return self.refuse(id, wanted),
            },
            _ => (Union::None, id),
        };
        let reader = match union {
            // Never asked: there is no value to read.
            Union::AlwaysNull => Reader::Boolean,
            _ => self.reader(inner, wanted)?,
        };
        Ok(Slot {
            union,
            on_null,
            null_floats: null_floats(wanted),
            reader,
        })
    }

    /// A union of null and one type, in either order.
    fn nullable(&self, branches: &[NodeId]) -> Option<(Union, NodeId)> {
        let is_null = |id: NodeId| matches!(self.schema.node(id).kind, Kind::Null);
        match *branches {
            [first, second] if is_null(first) && !is_null(second) => {
                Some((Union::NullAt(0), second))
            }
            [first, second] if is_null(second) && !is_null(first) => {
                Some((Union::NullAt(1), first))
            }
            _ => None,
        }
    }

    fn reader(&self, id: NodeId, wanted: &FeatureType) -> Result<Reader> {
        let node = self.schema.node(id);
        if let Some(found) = scalar_type(&node.kind, node.logical) {
            return match coercion(self.feature, &found, wanted)? {
                Coercion::Same => Ok(same_reader(&node.kind, node.logical, wanted)),
                Coercion::IntToBigInt => Ok(Reader::IntToBigInt),
                Coercion::IntToDouble => Ok(Reader::IntToDouble),
                Coercion::FloatToDouble => Ok(Reader::FloatToDouble),
                Coercion::DateToTimestamp => Ok(Reader::DateToTimestamp),
            };
        }
        match (&node.kind, node.logical, wanted) {
            (
                Kind::Bytes | Kind::Fixed(_),
                Some(Logical::Decimal { scale: found, .. }),
                FeatureType::Decimal { precision, scale },
            ) if found == u64::from(*scale) => Ok(Reader::Decimal {
                precision: *precision,
                scale: *scale,
                fixed: fixed_bytes(&node.kind),
            }),
            (Kind::Fixed(bytes), None, FeatureType::Binary) => Ok(Reader::Binary {
                fixed: Some(*bytes),
            }),
            (Kind::Array(item), _, FeatureType::Embedding(length)) => {
                self.embedding(id, *item, *length, wanted)
            }
            // Items without bytes would let a short body ask for any number of them.
            (Kind::Array(item), _, FeatureType::Array(_)) if self.schema.is_zero_sized(*item) => {
                self.refuse(id, wanted)
            }
            (Kind::Array(item), _, FeatureType::Array(wanted)) => {
                let item = self.slot(*item, wanted, OnNull::Keep)?;
                Ok(Reader::Array(Box::new(item)))
            }
            (Kind::Map(value), _, FeatureType::Map(wanted)) => {
                let value = self.slot(*value, wanted, OnNull::Keep)?;
                Ok(Reader::Map(Box::new(value)))
            }
            (Kind::Record(fields), _, FeatureType::Struct(wanted)) => {
                Ok(Reader::Struct(self.structure(fields, wanted)?))
            }
            _ => self.refuse(id, wanted),
        }
    }

    fn embedding(
        &self,
        id: NodeId,
        item: NodeId,
        length: u32,
        wanted: &FeatureType,
    ) -> Result<Reader> {
        let (union, inner) = match &self.schema.node(item).kind {
            Kind::Union(branches) => match self.nullable(branches) {
                Some(nullable) => nullable,
                None => return self.refuse(id, wanted),
            },
            _ => (Union::None, item),
        };
        match self.schema.node(inner).kind {
            Kind::Float => Ok(Reader::Embedding {
                length,
                item: union,
            }),
            _ => self.refuse(id, wanted),
        }
    }

    fn structure(&self, fields: &[WriterField], wanted: &[StructField]) -> Result<StructPlan> {
        let mut found = vec![false; wanted.len()];
        let steps = fields
            .iter()
            .map(
                |field| match wanted.iter().position(|wanted| wanted.name == field.name) {
                    None => Ok(Step::Skip(field.node)),
                    Some(index) => {
                        mark(&mut found, index, field)?;
                        let slot = self.slot(field.node, &wanted[index].r#type, OnNull::Keep)?;
                        Ok(Step::Read(index, slot))
                    }
                },
            )
            .collect::<Result<Vec<_>>>()?;
        let absent: Vec<usize> = (0..wanted.len()).filter(|index| !found[*index]).collect();
        let floats = absent
            .iter()
            .map(|index| null_floats(&wanted[*index].r#type));
        Ok(StructPlan {
            steps,
            absent_floats: floats.sum(),
            absent,
            fields: wanted.len(),
        })
    }
}

fn null_floats(r#type: &FeatureType) -> usize {
    match r#type {
        FeatureType::Embedding(length) => *length as usize,
        FeatureType::Struct(fields) => fields.iter().map(|f| null_floats(&f.r#type)).sum(),
        _ => 0,
    }
}

/// The feature type that a scalar of the writer stands for; decimals, fixed and nested types have
/// rules of their own.
fn scalar_type(kind: &Kind, logical: Option<Logical>) -> Option<FeatureType> {
    match (kind, logical) {
        (Kind::Boolean, _) => Some(FeatureType::Boolean),
        (Kind::Int, Some(Logical::Date)) => Some(FeatureType::Date),
        (Kind::Int, _) => Some(FeatureType::Int),
        (Kind::Long, Some(Logical::TimestampMicros | Logical::TimestampMillis)) => {
            Some(FeatureType::Timestamp)
        }
        (Kind::Long, None) => Some(FeatureType::BigInt),
        (Kind::Float, _) => Some(FeatureType::Float),
        (Kind::Double, _) => Some(FeatureType::Double),
        (Kind::String, _) => Some(FeatureType::String),
        (Kind::Bytes, None) => Some(FeatureType::Binary),
        _ => None,
    }
}

fn same_reader(kind: &Kind, logical: Option<Logical>, wanted: &FeatureType) -> Reader {
    match wanted {
        FeatureType::Boolean => Reader::Boolean,
        FeatureType::Int => Reader::Int,
        FeatureType::BigInt => Reader::BigInt,
        FeatureType::Float => Reader::Float,
        FeatureType::Double => Reader::Double,
        FeatureType::String => Reader::String,
        FeatureType::Date => Reader::Date,
        FeatureType::Timestamp if logical == Some(Logical::TimestampMillis) => {
            Reader::TimestampMillis
        }
        FeatureType::Timestamp => Reader::Timestamp,
        _ => Reader::Binary {
            fixed: fixed_bytes(kind),
        },
    }
}

fn fixed_bytes(kind: &Kind) -> Option<usize> {
    match kind {
        Kind::Fixed(bytes) => Some(*bytes),
        _ => None,
    }
}
