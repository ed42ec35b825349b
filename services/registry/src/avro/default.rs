use serde_json::Value as Json;

use super::{Node, NodeId, Primitive, Schema};

impl Schema {
    /// Whether a default is a value of this type. That of a union may be of any of its branches, as Avro has it
    /// since 1.12.
    pub(super) fn takes(&self, id: NodeId, default: &Json) -> bool {
        match self.node(id) {
            Node::Primitive(primitive) => primitive.takes(default),
            Node::Array(item) => {
                let items = default.as_array();
                items.is_some_and(|items| items.iter().all(|found| self.takes(*item, found)))
            }
            Node::Map(value) => {
                let values = default.as_object();
                values.is_some_and(|values| values.values().all(|found| self.takes(*value, found)))
            }
            // Unions do not hold unions, so this goes no deeper than the default does.
            Node::Union(branches) => branches.iter().any(|branch| self.takes(*branch, default)),
            Node::Fixed { bytes, .. } => {
                let wanted = usize::try_from(*bytes);
                bytes_of(default).is_some_and(|found| Ok(found) == wanted)
            }
            Node::Enum { symbols, .. } => {
                let symbol = default.as_str();
                symbol.is_some_and(|symbol| symbols.iter().any(|known| known == symbol))
            }
            Node::Record { fields, .. } => default.as_object().is_some_and(|object| {
                fields.iter().all(|field| match object.get(&field.name) {
                    Some(found) => self.takes(field.node, found),
                    None => field.has_default,
                })
            }),
        }
    }
}

impl Primitive {
    fn takes(self, default: &Json) -> bool {
        match self {
            Self::Null => default.is_null(),
            Self::Boolean => default.is_boolean(),
            Self::Int => default.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
            Self::Long => default.as_i64().is_some(),
            Self::Float | Self::Double => default.is_number(),
            Self::Bytes => bytes_of(default).is_some(),
            Self::String => default.is_string(),
        }
    }
}

/// How many bytes a string of the code points U+0000 to U+00FF stands for.
fn bytes_of(default: &Json) -> Option<usize> {
    let text = default.as_str()?;
    let is_byte = |c: char| u32::from(c) <= 0xff;
    text.chars().all(is_byte).then(|| text.chars().count())
}
