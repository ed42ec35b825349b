//! Avro schemas as a registry sees them: what is one, which texts are the same one, and whether what one
//! wrote can be read with another. Pure.
//!
//! How rows are read is the business of `wire`, which resolves the schemas of writers more strictly than
//! Avro does; here are the rules of Avro's specification.

mod canonical;
mod compatibility;
mod default;
mod parser;

pub use canonical::canonical;
pub use compatibility::unreadable;

use parser::Parser;
use serde_json::Value as Json;

/// A schema that is whole: every name in it is known and every default fits.
#[derive(Debug)]
pub struct Schema {
    nodes: Vec<Node>,
    root: NodeId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct NodeId(usize);

#[derive(Debug)]
enum Node {
    Primitive(Primitive),
    Array(NodeId),
    Map(NodeId),
    Union(Vec<NodeId>),
    Fixed {
        name: Name,
        bytes: u64,
    },
    Enum {
        name: Name,
        symbols: Vec<String>,
        has_default: bool,
    },
    Record {
        name: Name,
        fields: Vec<Field>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Primitive {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
}

#[derive(Debug)]
struct Name {
    /// With its namespace.
    full: String,
    aliases: Vec<String>,
}

#[derive(Debug)]
struct Field {
    name: String,
    aliases: Vec<String>,
    node: NodeId,
    has_default: bool,
}

impl Schema {
    /// Reads a schema; the error says what is wrong with it.
    pub fn parse(json: &Json) -> Result<Self, String> {
        Parser::default().schema(json)
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }
}

impl Node {
    /// The type as a message names it.
    fn describe(&self) -> String {
        match self {
            Self::Primitive(primitive) => primitive.name().to_owned(),
            Self::Array(_) => "array".to_owned(),
            Self::Map(_) => "map".to_owned(),
            Self::Union(_) => "union".to_owned(),
            Self::Fixed { name, .. } => format!("fixed `{}`", name.full),
            Self::Enum { name, .. } => format!("enum `{}`", name.full),
            Self::Record { name, .. } => format!("record `{}`", name.full),
        }
    }
}

impl Primitive {
    const ALL: [Self; 8] = [
        Self::Null,
        Self::Boolean,
        Self::Int,
        Self::Long,
        Self::Float,
        Self::Double,
        Self::Bytes,
        Self::String,
    ];

    fn of_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|primitive| primitive.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes => "bytes",
            Self::String => "string",
        }
    }
}
