use std::collections::HashMap;

use serde_json::Value as Json;

use super::{Kind, Logical, Node, NodeId, WriterField};
use crate::{Error, Result};

/// Reads the JSON of a schema into nodes.
#[derive(Default)]
pub(super) struct Parser {
    /// `None` while a named type is being read, because it may refer to itself.
    nodes: Vec<Option<(Kind, Option<Logical>)>>,
    named: HashMap<String, NodeId>,
}

impl Parser {
    // The recursion is bounded: serde_json refuses more than 128 levels.
    pub(super) fn node(&mut self, json: &Json, namespace: &str) -> Result<NodeId> {
        match json {
            Json::String(name) => self.primitive_or_named(name, namespace, None),
            Json::Array(branches) => {
                let branches = branches
                    .iter()
                    .map(|branch| self.node(branch, namespace))
                    .collect::<Result<Vec<_>>>()?;
                if branches.is_empty() {
                    return Err(refusal("a union has no branches".to_owned()));
                }
                Ok(self.push(Kind::Union(branches), None))
            }
            Json::Object(object) => self.object(object, namespace),
            other => Err(refusal(format!("found {other} where a type was wanted"))),
        }
    }

    fn object(
        &mut self,
        object: &serde_json::Map<String, Json>,
        namespace: &str,
    ) -> Result<NodeId> {
        let wanted = |key: &str| {
            object
                .get(key)
                .ok_or_else(|| refusal(format!("`{key}` is missing in {}", cut(object))))
        };
        let r#type = match wanted("type")? {
            Json::String(r#type) => r#type,
            // {"type": {...}} and {"type": [...]} stand for what they hold.
            nested => return self.node(nested, namespace),
        };
        match r#type.as_str() {
            "record" | "error" => {
                let (id, inner) = self.define(object, namespace)?;
                let Json::Array(fields) = wanted("fields")? else {
                    return Err(refusal(format!("`fields` is no list in {}", cut(object))));
                };
                let fields = fields
                    .iter()
                    .map(|field| self.field(field, &inner))
                    .collect::<Result<Vec<_>>>()?;
                self.nodes[id.0] = Some((Kind::Record(fields), None));
                Ok(id)
            }
            "enum" => {
                let (id, _) = self.define(object, namespace)?;
                let symbols = wanted("symbols")?.as_array().map_or(0, Vec::len);
                self.nodes[id.0] = Some((Kind::Enum(symbols), None));
                Ok(id)
            }
            "fixed" => {
                let (id, _) = self.define(object, namespace)?;
                let bytes = wanted("size")?
                    .as_u64()
                    .and_then(|bytes| usize::try_from(bytes).ok())
                    .ok_or_else(|| refusal(format!("`size` is no size in {}", cut(object))))?;
                self.nodes[id.0] = Some((Kind::Fixed(bytes), decimal(object)));
                Ok(id)
            }
            "array" => {
                let item = self.node(wanted("items")?, namespace)?;
                Ok(self.push(Kind::Array(item), None))
            }
            "map" => {
                let value = self.node(wanted("values")?, namespace)?;
                Ok(self.push(Kind::Map(value), None))
            }
            name => self.primitive_or_named(name, namespace, Some(object)),
        }
    }

    fn field(&mut self, field: &Json, namespace: &str) -> Result<WriterField> {
        let name = field
            .get("name")
            .and_then(Json::as_str)
            .ok_or_else(|| refusal(format!("a field without a name: {field}")))?;
        let r#type = field
            .get("type")
            .ok_or_else(|| refusal(format!("field `{name}` has no type")))?;
        Ok(WriterField {
            name: name.to_owned(),
            node: self.node(r#type, namespace)?,
        })
    }

    /// Registers a named type; gives its node, to be filled, and the namespace inside it.
    fn define(
        &mut self,
        object: &serde_json::Map<String, Json>,
        namespace: &str,
    ) -> Result<(NodeId, String)> {
        let name = object
            .get("name")
            .and_then(Json::as_str)
            .ok_or_else(|| refusal(format!("`name` is missing in {}", cut(object))))?;
        let (namespace, name) = match name.rsplit_once('.') {
            Some(split) => split,
            None => {
                let own = object.get("namespace").and_then(Json::as_str);
                (own.unwrap_or(namespace), name)
            }
        };
        let full = full_name(namespace, name);
        let id = NodeId(self.nodes.len());
        self.nodes.push(None);
        if self.named.insert(full.clone(), id).is_some() {
            return Err(refusal(format!("`{full}` is defined twice")));
        }
        Ok((id, namespace.to_owned()))
    }

    fn primitive_or_named(
        &mut self,
        name: &str,
        namespace: &str,
        attributes: Option<&serde_json::Map<String, Json>>,
    ) -> Result<NodeId> {
        let annotated = attributes.and_then(|object| object.get("logicalType")?.as_str());
        let (kind, logical) = match name {
            "null" => (Kind::Null, None),
            "boolean" => (Kind::Boolean, None),
            "int" => (
                Kind::Int,
                (annotated == Some("date")).then_some(Logical::Date),
            ),
            "long" => {
                let logical = match annotated {
                    Some("timestamp-millis" | "local-timestamp-millis") => {
                        Some(Logical::TimestampMillis)
                    }
                    Some("timestamp-micros" | "local-timestamp-micros") => {
                        Some(Logical::TimestampMicros)
                    }
                    Some("timestamp-nanos" | "local-timestamp-nanos") => {
                        Some(Logical::TimestampNanos)
                    }
                    _ => None,
                };
                (Kind::Long, logical)
            }
            "float" => (Kind::Float, None),
            "double" => (Kind::Double, None),
            "bytes" => (Kind::Bytes, attributes.and_then(decimal)),
            "string" => (Kind::String, None),
            reference => {
                return self
                    .named
                    .get(&full_name(namespace, reference))
                    .or_else(|| self.named.get(reference))
                    .copied()
                    .ok_or_else(|| refusal(format!("type `{reference}` is not known")));
            }
        };
        Ok(self.push(kind, logical))
    }

    fn push(&mut self, kind: Kind, logical: Option<Logical>) -> NodeId {
        self.nodes.push(Some((kind, logical)));
        NodeId(self.nodes.len() - 1)
    }

    pub(super) fn finish(self) -> Result<Vec<Node>> {
        let parts = self
            .nodes
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| refusal("a named type is not complete".to_owned()))?;
        let mut sizes = vec![Size::Unknown; parts.len()];
        for index in 0..parts.len() {
            is_zero_sized(&parts, NodeId(index), &mut sizes);
        }
        Ok(parts
            .into_iter()
            .zip(sizes)
            .map(|((kind, logical), size)| Node {
                kind,
                logical,
                zero_sized: size == Size::Zero,
            })
            .collect())
    }
}

pub(super) fn refusal(reason: String) -> Error {
    Error::WriterSchema { reason }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Unknown,
    /// Some bytes at least, or none yet known because the type contains itself.
    Bytes,
    Zero,
}

// Recursion through records alone; their nesting in the JSON text is bounded.
fn is_zero_sized(parts: &[(Kind, Option<Logical>)], id: NodeId, sizes: &mut [Size]) -> bool {
    if sizes[id.0] == Size::Unknown {
        sizes[id.0] = Size::Bytes;
        let zero = match &parts[id.0].0 {
            Kind::Null | Kind::Fixed(0) => true,
            Kind::Record(fields) => fields
                .iter()
                .all(|field| is_zero_sized(parts, field.node, sizes)),
            _ => false,
        };
        if zero {
            sizes[id.0] = Size::Zero;
        }
    }
    sizes[id.0] == Size::Zero
}

fn full_name(namespace: &str, name: &str) -> String {
    if namespace.is_empty() || name.contains('.') {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

fn decimal(object: &serde_json::Map<String, Json>) -> Option<Logical> {
    if object.get("logicalType")?.as_str()? != "decimal" {
        return None;
    }
    Some(Logical::Decimal {
        precision: object.get("precision")?.as_u64()?,
        scale: object.get("scale").map_or(Some(0), Json::as_u64)?,
    })
}

/// The text of a piece of schema, short enough for an error message.
fn cut(object: &serde_json::Map<String, Json>) -> String {
    const CHARS_MAX: usize = 120;
    let text = Json::Object(object.clone()).to_string();
    text.chars().take(CHARS_MAX).collect()
}
