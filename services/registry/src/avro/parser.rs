use std::collections::{HashMap, HashSet};

use serde_json::Value as Json;

use super::{Field, Name, Node, NodeId, Primitive, Schema};

type Object = serde_json::Map<String, Json>;
type Result<T, E = String> = std::result::Result<T, E>;

/// Pieces of a schema quoted in messages are cut to this.
const QUOTED_CHARS_MAX: usize = 120;

#[derive(Default)]
pub(super) struct Parser<'a> {
    /// `None` while a named type is being read, because it may refer to itself.
    nodes: Vec<Option<Node>>,
    named: HashMap<String, NodeId>,
    /// Looked at when all types are known.
    defaults: Vec<(String, NodeId, &'a Json)>,
}

impl<'a> Parser<'a> {
    pub(super) fn schema(mut self, json: &'a Json) -> Result<Schema> {
        let root = self.node(json, "")?;
        let nodes: Option<Vec<Node>> = self.nodes.into_iter().collect();
        let nodes = nodes.ok_or("a named type is not complete")?;
        let schema = Schema { nodes, root };
        for (field, node, default) in self.defaults {
            if !schema.takes(node, default) {
                let wanted = schema.node(node).describe();
                let found = quoted(default);
                return Err(format!(
                    "field `{field}` has the default {found}, which is no {wanted}"
                ));
            }
        }
        Ok(schema)
    }

    // The recursion is bounded: serde_json refuses more than 128 levels.
    fn node(&mut self, json: &'a Json, namespace: &str) -> Result<NodeId> {
        match json {
            Json::String(name) => self.primitive_or_named(name, namespace),
            Json::Array(branches) => self.union(branches, namespace),
            Json::Object(object) => self.object(object, namespace),
            other => Err(format!("found {} where a type was wanted", quoted(other))),
        }
    }

    fn union(&mut self, branches: &'a [Json], namespace: &str) -> Result<NodeId> {
        let mut nodes = Vec::with_capacity(branches.len());
        let mut kinds = HashSet::new();
        for branch in branches {
            let id = self.node(branch, namespace)?;
            let kind = match &self.nodes[id.0] {
                Some(Node::Union(_)) => return Err("a union holds a union".to_owned()),
                Some(node @ (Node::Primitive(_) | Node::Array(_) | Node::Map(_))) => {
                    node.describe()
                }
                // A named type is told from others by its name, which is its node.
                Some(_) | None => format!("named {}", id.0),
            };
            if !kinds.insert(kind) {
                return Err(format!("a union has {} twice", quoted(branch)));
            }
            nodes.push(id);
        }
        Ok(self.push(Node::Union(nodes)))
    }

    fn object(&mut self, object: &'a Object, namespace: &str) -> Result<NodeId> {
        let r#type = match wanted(object, "type")? {
            Json::String(r#type) => r#type.as_str(),
            // {"type": {...}} and {"type": [...]} stand for what they hold.
            nested => return self.node(nested, namespace),
        };
        match r#type {
            "record" | "error" => self.record(object, namespace),
            "enum" => self.r#enum(object, namespace),
            "fixed" => {
                let (id, name) = self.define(object, namespace)?;
                let bytes = wanted(object, "size")?.as_u64();
                let bytes = bytes.ok_or_else(|| format!("`size` of `{}` is no size", name.full))?;
                self.nodes[id.0] = Some(Node::Fixed { name, bytes });
                Ok(id)
            }
            "array" => {
                let item = self.node(wanted(object, "items")?, namespace)?;
                Ok(self.push(Node::Array(item)))
            }
            "map" => {
                let value = self.node(wanted(object, "values")?, namespace)?;
                Ok(self.push(Node::Map(value)))
            }
            name => self.primitive_or_named(name, namespace),
        }
    }

    fn record(&mut self, object: &'a Object, namespace: &str) -> Result<NodeId> {
        let (id, name) = self.define(object, namespace)?;
        let inner = name.full.rsplit_once('.').map_or("", |(inner, _)| inner);
        let Json::Array(found) = wanted(object, "fields")? else {
            return Err(format!("`fields` of `{}` is no list", name.full));
        };
        let mut fields: Vec<Field> = Vec::with_capacity(found.len());
        let mut names = HashSet::new();
        for json in found {
            let field = self.field(json, inner)?;
            if !names.insert(field.name.clone()) {
                return Err(format!(
                    "`{}` has the field `{}` twice",
                    name.full, field.name
                ));
            }
            fields.push(field);
        }
        self.nodes[id.0] = Some(Node::Record { name, fields });
        Ok(id)
    }

    fn field(&mut self, json: &'a Json, namespace: &str) -> Result<Field> {
        let Json::Object(object) = json else {
            return Err(format!("found {} where a field was wanted", quoted(json)));
        };
        let name = simple_name(object)?;
        let node = self.node(wanted(object, "type")?, namespace)?;
        let default = object.get("default");
        if let Some(default) = default {
            self.defaults.push((name.to_owned(), node, default));
        }
        Ok(Field {
            name: name.to_owned(),
            aliases: strings(object, "aliases")?,
            node,
            has_default: default.is_some(),
        })
    }

    fn r#enum(&mut self, object: &'a Object, namespace: &str) -> Result<NodeId> {
        let (id, name) = self.define(object, namespace)?;
        wanted(object, "symbols")?;
        let symbols = strings(object, "symbols")?;
        check_symbols(&symbols, &name)?;
        let default = object.get("default");
        if let Some(default) = default
            && !default
                .as_str()
                .is_some_and(|default| symbols.iter().any(|symbol| symbol == default))
        {
            let found = quoted(default);
            return Err(format!(
                "`{}` has the default {found}, which is no symbol",
                name.full
            ));
        }
        self.nodes[id.0] = Some(Node::Enum {
            name,
            symbols,
            has_default: default.is_some(),
        });
        Ok(id)
    }

    /// Registers a named type and gives its node, to be filled.
    fn define(&mut self, object: &Object, namespace: &str) -> Result<(NodeId, Name)> {
        let found = wanted(object, "name")?.as_str();
        let found = found.ok_or_else(|| format!("`name` is no text in {}", cut(object)))?;
        let own = object.get("namespace").and_then(Json::as_str);
        let full = full_name(found, own.unwrap_or(namespace));
        if !full.split('.').all(is_name) {
            return Err(format!("`{full}` is no name of a type"));
        }
        if Primitive::of_name(&full).is_some() {
            return Err(format!("`{full}` cannot be defined anew"));
        }
        let inner = full.rsplit_once('.').map_or("", |(inner, _)| inner);
        let aliases = strings(object, "aliases")?;
        let aliases = aliases
            .iter()
            .map(|alias| full_name(alias, inner))
            .collect();
        let id = NodeId(self.nodes.len());
        self.nodes.push(None);
        if self.named.insert(full.clone(), id).is_some() {
            return Err(format!("`{full}` is defined twice"));
        }
        Ok((id, Name { full, aliases }))
    }

    fn primitive_or_named(&mut self, name: &str, namespace: &str) -> Result<NodeId> {
        if let Some(primitive) = Primitive::of_name(name) {
            return Ok(self.push(Node::Primitive(primitive)));
        }
        let known = self.named.get(&full_name(name, namespace));
        known
            .or_else(|| self.named.get(name))
            .copied()
            .ok_or_else(|| format!("type `{name}` is not known"))
    }

    fn push(&mut self, node: Node) -> NodeId {
        self.nodes.push(Some(node));
        NodeId(self.nodes.len() - 1)
    }
}

fn check_symbols(symbols: &[String], name: &Name) -> Result<()> {
    let mut known = HashSet::new();
    for symbol in symbols {
        if !is_name(symbol) {
            return Err(format!(
                "`{symbol}` is no symbol for the enum `{}`",
                name.full
            ));
        }
        if !known.insert(symbol) {
            return Err(format!("`{}` has the symbol `{symbol}` twice", name.full));
        }
    }
    Ok(())
}

fn full_name(name: &str, namespace: &str) -> String {
    if namespace.is_empty() || name.contains('.') {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
    chars.next().is_some_and(starts) && chars.all(|c| starts(c) || c.is_ascii_digit())
}

fn simple_name(object: &Object) -> Result<&str> {
    let name = wanted(object, "name")?.as_str();
    name.filter(|name| is_name(name))
        .ok_or_else(|| format!("`name` is no name of a field in {}", cut(object)))
}

fn wanted<'a>(object: &'a Object, key: &str) -> Result<&'a Json> {
    object
        .get(key)
        .ok_or_else(|| format!("`{key}` is missing in {}", cut(object)))
}

/// A list of texts; empty when it is not there.
fn strings(object: &Object, key: &str) -> Result<Vec<String>> {
    let Some(found) = object.get(key) else {
        return Ok(Vec::new());
    };
    let texts = found.as_array().and_then(|items| {
        let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
        texts.collect::<Option<Vec<String>>>()
    });
    texts.ok_or_else(|| format!("`{key}` is no list of texts in {}", cut(object)))
}

fn cut(object: &Object) -> String {
    quoted(&Json::Object(object.clone()))
}

fn quoted(json: &Json) -> String {
    json.to_string().chars().take(QUOTED_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(fields: Json) -> Json {
        json!({"type": "record", "name": "r", "fields": fields})
    }

    #[test]
    fn schemas_of_every_kind_are_read() {
        for json in [
            json!("string"),
            json!({"type": "long", "logicalType": "timestamp-millis"}),
            json!(["null", {"type": "array", "items": "int"}, {"type": "fixed", "name": "f", "size": 2}]),
            record(json!([{"name": "next", "type": ["null", "r"], "default": null}])),
            record(
                json!([{"name": "e", "type": {"type": "enum", "name": "e", "symbols": ["A"]}, "default": "A"}]),
            ),
            record(json!([{"name": "b", "type": "bytes", "default": "\u{ff}"}])),
            record(
                json!([{"name": "m", "type": {"type": "map", "values": "double"}, "default": {"a": 1}}]),
            ),
        ] {
            let read = Schema::parse(&json);
            assert!(read.is_ok(), "{json}: {read:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (json, reason) in [
            (json!(1), "found 1 where a type was wanted"),
            (json!("strnig"), "type `strnig` is not known"),
            (json!(["null", "null"]), "a union has \"null\" twice"),
            (json!([["null"]]), "a union holds a union"),
            (json!({"type": "record", "fields": []}), "`name` is missing"),
            (
                json!({"type": "record", "name": "a-b", "fields": []}),
                "`a-b` is no name",
            ),
            (
                record(json!([{"name": "a b", "type": "int"}])),
                "no name of a field",
            ),
            (
                record(json!([{"name": "a", "type": "int"}, {"name": "a", "type": "int"}])),
                "twice",
            ),
            (
                record(json!([{"name": "a", "type": "int", "default": "1"}])),
                "field `a` has the default \"1\"",
            ),
            (
                record(json!([{"name": "a", "type": "int", "default": 3_000_000_000_u64}])),
                "which is no int",
            ),
            (
                json!({"type": "enum", "name": "e", "symbols": ["A", "A"]}),
                "symbol `A` twice",
            ),
            (
                json!({"type": "enum", "name": "e", "symbols": ["A"], "default": "B"}),
                "no symbol",
            ),
            (
                json!({"type": "fixed", "name": "f", "size": -1}),
                "`size` of `f` is no size",
            ),
        ] {
            let error = Schema::parse(&json).expect_err(reason);
            assert!(error.contains(reason), "{error}");
        }
    }
}
