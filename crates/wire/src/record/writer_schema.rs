//! The Avro schema of a writer, read once into a small tree of our own.
//!
//! External producers may write anything Avro can say, also in features that the group does not have;
//! those are skipped by this tree alone, safely on any bytes.

mod parser;

use serde_json::Value as Json;

use self::parser::{Parser, refusal};
use super::defect::{Fault, fault};
use super::{Cursor, Defect};
use crate::Result;

/// Levels of values inside values that are skipped before a record counts as hostile.
const SKIP_LEVELS_MAX: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeId(usize);

#[derive(Debug)]
pub(crate) struct WriterSchema {
    nodes: Vec<Node>,
    root: NodeId,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) logical: Option<Logical>,
    /// Every value of this type takes no bytes at all.
    zero_sized: bool,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum(usize),
    Array(NodeId),
    Map(NodeId),
    Union(Vec<NodeId>),
    Record(Vec<WriterField>),
}

#[derive(Debug)]
pub(crate) struct WriterField {
    pub(crate) name: String,
    pub(crate) node: NodeId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logical {
    Decimal { precision: u64, scale: u64 },
    Date,
    TimestampMillis,
    TimestampMicros,
    TimestampNanos,
}

impl WriterSchema {
    pub(crate) fn parse(json: &str) -> Result<Self> {
        let parsed: Json =
            serde_json::from_str(json).map_err(|error| refusal(format!("not JSON: {error}")))?;
        let mut parser = Parser::default();
        let root = parser.node(&parsed, "")?;
        let nodes = parser.finish()?;
        if !matches!(nodes[root.0].kind, Kind::Record(_)) {
            return Err(refusal("wanted a record at the top".to_owned()));
        }
        Ok(Self { nodes, root })
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The fields of the top record, in the order of the bytes.
    pub(crate) fn fields(&self) -> &[WriterField] {
        match &self.node(self.root).kind {
            Kind::Record(fields) => fields,
            _ => &[],
        }
    }

    pub(crate) fn skip(&self, id: NodeId, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        self.skip_at(id, cursor, 0)
    }

    fn skip_at(&self, id: NodeId, cursor: &mut Cursor<'_>, level: usize) -> Result<(), Fault> {
        if level > SKIP_LEVELS_MAX {
            return Err(fault(Defect::NestedTooDeep {
                levels_max: SKIP_LEVELS_MAX,
            }));
        }
        let node = self.node(id);
        // A tree of empty records can be exponentially large while no byte limits the walk.
        if node.zero_sized {
            return Ok(());
        }
        match &node.kind {
            Kind::Null => Ok(()),
            Kind::Boolean => boolean(cursor).map(drop),
            Kind::Int => cursor.int().map(drop),
            Kind::Long => cursor.long().map(drop),
            Kind::Float => cursor.array::<4>().map(drop),
            Kind::Double => cursor.array::<8>().map(drop),
            Kind::Bytes | Kind::String => cursor.bytes().map(drop),
            Kind::Fixed(bytes) => cursor.take(*bytes).map(drop),
            Kind::Enum(symbols) => branch(cursor, *symbols).map(drop),
            Kind::Union(branches) => {
                let index = branch(cursor, branches.len())?;
                self.skip_at(branches[index], cursor, level + 1)
            }
            Kind::Record(fields) => fields
                .iter()
                .try_for_each(|field| self.skip_at(field.node, cursor, level + 1)),
            Kind::Array(item) => {
                let zero_sized = self.node(*item).zero_sized;
                while let Some(block) = cursor.block()? {
                    // Each item takes a byte at least, so the loop ends with the bytes.
                    let items = if zero_sized { 0 } else { block.items };
                    for _ in 0..items {
                        self.skip_at(*item, cursor, level + 1)?;
                    }
                    cursor.end_block(&block)?;
                }
                Ok(())
            }
            Kind::Map(value) => {
                while let Some(block) = cursor.block()? {
                    for _ in 0..block.items {
                        cursor.bytes()?;
                        self.skip_at(*value, cursor, level + 1)?;
                    }
                    cursor.end_block(&block)?;
                }
                Ok(())
            }
        }
    }

    pub(crate) fn is_zero_sized(&self, id: NodeId) -> bool {
        self.node(id).zero_sized
    }

    /// The type as an error message names it.
    pub(crate) fn describe(&self, id: NodeId) -> String {
        let node = self.node(id);
        match (&node.kind, node.logical) {
            (_, Some(Logical::Decimal { precision, scale })) => {
                format!("decimal({precision},{scale})")
            }
            (_, Some(Logical::Date)) => "date".to_owned(),
            (_, Some(Logical::TimestampMillis | Logical::TimestampMicros)) => {
                "timestamp".to_owned()
            }
            (_, Some(Logical::TimestampNanos)) => "timestamp of nanoseconds".to_owned(),
            (Kind::Null, _) => "null".to_owned(),
            (Kind::Boolean, _) => "boolean".to_owned(),
            (Kind::Int, _) => "int".to_owned(),
            (Kind::Long, _) => "bigint".to_owned(),
            (Kind::Float, _) => "float".to_owned(),
            (Kind::Double, _) => "double".to_owned(),
            (Kind::Bytes, _) => "binary".to_owned(),
            (Kind::String, _) => "string".to_owned(),
            (Kind::Fixed(bytes), _) => format!("fixed of {bytes} bytes"),
            (Kind::Enum(_), _) => "enum".to_owned(),
            (Kind::Array(_), _) => "array".to_owned(),
            (Kind::Map(_), _) => "map".to_owned(),
            (Kind::Record(_), _) => "record".to_owned(),
            (Kind::Union(branches), _) => {
                let branches: Vec<_> = branches
                    .iter()
                    .map(|branch| match self.node(*branch).kind {
                        Kind::Union(_) => "union".to_owned(),
                        _ => self.describe(*branch),
                    })
                    .collect();
                format!("union of {}", branches.join(" and "))
            }
        }
    }
}

#[inline]
pub(crate) fn boolean(cursor: &mut Cursor<'_>) -> Result<bool, Fault> {
    match cursor.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        found => Err(fault(Defect::InvalidBoolean { found })),
    }
}

/// An index below `branches`.
#[inline(always)]
pub(crate) fn branch(cursor: &mut Cursor<'_>, branches: usize) -> Result<usize, Fault> {
    let found = cursor.long()?;
    match usize::try_from(found) {
        Ok(index) if index < branches => Ok(index),
        _ => Err(fault(Defect::InvalidUnionBranch { found, branches })),
    }
}
