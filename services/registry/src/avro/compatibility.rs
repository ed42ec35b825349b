use std::collections::{HashMap, HashSet};

use super::{Field, Name, Node, NodeId, Primitive, Schema};

/// Values inside values that are compared before two schemas count as hostile.
const LEVELS_MAX: usize = 128;
/// More reasons help nobody.
const REASONS_MAX: usize = 20;

/// Why what `writer` wrote cannot be read with `reader`, by the rules of schema resolution in Avro's
/// specification; empty when it can be.
pub fn unreadable(reader: &Schema, writer: &Schema) -> Vec<String> {
    let mut comparison = Comparison {
        reader,
        writer,
        records: HashMap::new(),
        reasons: Vec::new(),
    };
    comparison.reads(reader.root, writer.root, "", 0);
    comparison.reasons.truncate(REASONS_MAX);
    comparison.reasons
}

struct Comparison<'a> {
    reader: &'a Schema,
    writer: &'a Schema,
    /// Records that were compared. One that is being compared counts as readable: it may hold itself.
    records: HashMap<(NodeId, NodeId), bool>,
    reasons: Vec<String>,
}

impl<'a> Comparison<'a> {
    fn reads(&mut self, reader: NodeId, writer: NodeId, path: &str, level: usize) -> bool {
        if level > LEVELS_MAX {
            return self.refuse(path, format!("nested deeper than {LEVELS_MAX} levels"));
        }
        let level = level + 1;
        let (readers, writers) = (self.reader, self.writer);
        match (readers.node(reader), writers.node(writer)) {
            (_, Node::Union(branches)) => {
                let mut all = true;
                for branch in branches {
                    all &= self.reads(reader, *branch, path, level);
                }
                all
            }
            (Node::Union(branches), _) => self.any_reads(branches, writer, path, level),
            (Node::Array(wanted), Node::Array(found)) => {
                self.reads(*wanted, *found, &format!("{path}/items"), level)
            }
            (Node::Map(wanted), Node::Map(found)) => {
                self.reads(*wanted, *found, &format!("{path}/values"), level)
            }
            (Node::Fixed { name: ours, .. }, Node::Fixed { name: theirs, .. })
            | (Node::Enum { name: ours, .. }, Node::Enum { name: theirs, .. }) => {
                let same_name = self.same_name(ours, theirs, path);
                let same_values =
                    self.same_values(readers.node(reader), writers.node(writer), path);
                same_name && same_values
            }
            (
                Node::Record { name, fields },
                Node::Record {
                    name: writer_name,
                    fields: found,
                },
            ) => {
                if let Some(known) = self.records.get(&(reader, writer)).copied() {
                    let again = format!("record `{}` cannot be read here either", name.full);
                    return known || self.refuse(path, again);
                }
                self.records.insert((reader, writer), true);
                let same_name = self.same_name(name, writer_name, path);
                let readable = self.fields(fields, found, path, level) && same_name;
                self.records.insert((reader, writer), readable);
                readable
            }
            (Node::Primitive(wanted), Node::Primitive(found)) if wanted.reads(*found) => true,
            (wanted, found) => {
                let (wanted, found) = (wanted.describe(), found.describe());
                self.refuse(path, format!("the reader wants {wanted}, found {found}"))
            }
        }
    }

    /// Whether one of these branches of the reader does. Why each of them does not is forgotten.
    fn any_reads(&mut self, branches: &[NodeId], writer: NodeId, path: &str, level: usize) -> bool {
        let said = self.reasons.len();
        let mut branches = branches.iter();
        let any = branches.any(|branch| self.reads(*branch, writer, path, level));
        self.reasons.truncate(said);
        let found = self.writer.node(writer).describe();
        let reason = || format!("the reader's union has no branch for {found}");
        any || self.refuse(path, reason())
    }

    /// Whether a fixed or an enum of the reader has room for all that the writer's has.
    fn same_values(&mut self, wanted: &Node, found: &Node, path: &str) -> bool {
        match (wanted, found) {
            (Node::Fixed { bytes: wanted, .. }, Node::Fixed { bytes: found, .. }) => {
                let reason = || format!("the reader wants {wanted} bytes, found {found}");
                wanted == found || self.refuse(path, reason())
            }
            (
                Node::Enum {
                    symbols,
                    has_default,
                    ..
                },
                Node::Enum { symbols: found, .. },
            ) => {
                let known: HashSet<&String> = symbols.iter().collect();
                let missing = found.iter().filter(|symbol| !known.contains(symbol));
                let missing: Vec<&str> = missing.map(String::as_str).collect();
                let reason = || format!("the reader lacks {}", missing.join(", "));
                *has_default || missing.is_empty() || self.refuse(path, reason())
            }
            _ => true,
        }
    }

    fn fields(
        &mut self,
        wanted: &'a [Field],
        found: &'a [Field],
        path: &str,
        level: usize,
    ) -> bool {
        let found: HashMap<&str, &Field> = found
            .iter()
            .map(|field| (field.name.as_str(), field))
            .collect();
        let mut all = true;
        for field in wanted {
            let path = format!("{path}/{}", field.name);
            let mut names = std::iter::once(&field.name).chain(&field.aliases);
            let written = names.find_map(|name| found.get(name.as_str()));
            all &= match written {
                Some(written) => self.reads(field.node, written.node, &path, level),
                None => {
                    field.has_default
                        || self.refuse(&path, "missing, and without a default".to_owned())
                }
            };
        }
        all
    }

    fn same_name(&mut self, wanted: &Name, found: &Name, path: &str) -> bool {
        let is_alias = || wanted.aliases.contains(&found.full);
        if wanted.simple() == found.simple() || is_alias() {
            return true;
        }
        let (wanted, found) = (&wanted.full, &found.full);
        self.refuse(
            path,
            format!("the reader wants the name `{wanted}`, found `{found}`"),
        )
    }

    /// Notes a reason; always false.
    fn refuse(&mut self, path: &str, reason: String) -> bool {
        // What a trial of branches says is forgotten, so one more than is wanted is room enough.
        if self.reasons.len() <= REASONS_MAX {
            let place = if path.is_empty() { "/" } else { path };
            self.reasons.push(format!("{place}: {reason}"));
        }
        false
    }
}

impl Name {
    /// Without the namespace, which Avro does not compare.
    fn simple(&self) -> &str {
        self.full
            .rsplit_once('.')
            .map_or(self.full.as_str(), |(_, simple)| simple)
    }
}

impl Primitive {
    /// The same type, or one that the writer's is promoted to.
    fn reads(self, found: Self) -> bool {
        let promoted: &[Self] = match found {
            Self::Int => &[Self::Long, Self::Float, Self::Double],
            Self::Long => &[Self::Float, Self::Double],
            Self::Float => &[Self::Double],
            Self::String => &[Self::Bytes],
            Self::Bytes => &[Self::String],
            Self::Null | Self::Boolean | Self::Double => &[],
        };
        self == found || promoted.contains(&self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn reasons(reader: &Json, writer: &Json) -> Vec<String> {
        let schema = |json| Schema::parse(json).expect("a schema");
        unreadable(&schema(reader), &schema(writer))
    }

    fn ride(fields: Json) -> Json {
        json!({"type": "record", "name": "ride", "namespace": "a", "fields": fields})
    }

    fn fixed(name: &str, size: u32) -> Json {
        json!({"type": "fixed", "name": name, "size": size})
    }

    fn symbols(symbols: &[&str]) -> Json {
        json!({"type": "enum", "name": "kind", "symbols": symbols})
    }

    #[test]
    fn what_avro_resolves_can_be_read() {
        let base = || ride(json!([{"name": "id", "type": "long"}]));
        let other_namespace = json!({"type": "record", "name": "b.ride", "fields": []});
        let renamed = json!({"type": "record", "name": "trip", "aliases": ["a.ride"],
            "namespace": "a", "fields": []});
        let with_default =
            json!({"type": "enum", "name": "kind", "symbols": ["C"], "default": "C"});
        for (reader, writer) in [
            (base(), base()),
            (
                base(),
                ride(json!([{"name": "id", "type": "int"}, {"name": "x", "type": "int"}])),
            ),
            (
                ride(json!([{"name": "fare", "type": "double", "default": 0}])),
                base(),
            ),
            (
                ride(json!([{"name": "key", "aliases": ["id"], "type": "long"}])),
                base(),
            ),
            (other_namespace, base()),
            (renamed, base()),
            (json!(["null", "double"]), json!("float")),
            (json!(["null", "string"]), json!(["bytes", "null"])),
            (json!("double"), json!(["int", "long", "float"])),
            (
                json!({"type": "array", "items": "long"}),
                json!({"type": "array", "items": "int"}),
            ),
            (symbols(&["A", "B"]), symbols(&["A"])),
            (with_default, symbols(&["A"])),
            (fixed("f", 4), fixed("f", 4)),
        ] {
            assert_eq!(reasons(&reader, &writer), [""; 0], "{reader} {writer}");
        }
    }

    #[test]
    fn what_it_does_not_is_said_with_its_place() {
        let field = |r#type: Json| ride(json!([{"name": "id", "type": r#type}]));
        for (reader, writer, reason) in [
            (
                json!("int"),
                json!("long"),
                "/: the reader wants int, found long",
            ),
            (
                json!("string"),
                json!(["null", "string"]),
                "/: the reader wants string, found null",
            ),
            (
                json!(["null", "int"]),
                json!("string"),
                "/: the reader's union has no branch for string",
            ),
            (
                field(json!("int")),
                field(json!("boolean")),
                "/id: the reader wants int, found boolean",
            ),
            (
                field(json!("int")),
                ride(json!([])),
                "/id: missing, and without a default",
            ),
            (
                field(json!({"type": "map", "values": "int"})),
                field(json!({"type": "map", "values": "long"})),
                "/id/values: the reader wants int, found long",
            ),
            (
                symbols(&["A"]),
                symbols(&["A", "B"]),
                "/: the reader lacks B",
            ),
            (
                fixed("f", 4),
                fixed("f", 5),
                "/: the reader wants 4 bytes, found 5",
            ),
            (
                fixed("f", 4),
                fixed("g", 4),
                "/: the reader wants the name `f`, found `g`",
            ),
        ] {
            assert_eq!(reasons(&reader, &writer), [reason]);
        }
    }

    #[test]
    fn a_type_that_holds_itself_is_compared_once() {
        let list = |r#type: &str| {
            ride(
                json!([{"name": "id", "type": r#type}, {"name": "next", "type": ["null", "ride"]}]),
            )
        };
        assert_eq!(reasons(&list("long"), &list("int")), [""; 0]);
        assert_eq!(
            reasons(&list("int"), &list("long")),
            ["/id: the reader wants int, found long"]
        );
    }

    /// Each record holds the one before it twice: without a memory it would take years.
    #[test]
    fn shared_types_are_compared_once() {
        let name = |level: usize| format!("r{level}");
        let mut fields = vec![
            json!({"name": "base", "type": {"type": "record", "name": name(0), "fields": []}}),
        ];
        for level in 1..60 {
            let below = name(level - 1);
            let record = json!({"type": "record", "name": name(level), "fields": [
                {"name": "a", "type": below}, {"name": "b", "type": below},
            ]});
            fields.push(json!({"name": name(level), "type": record}));
        }
        let schema = json!({"type": "record", "name": "top", "fields": fields});
        assert_eq!(reasons(&schema, &schema), [""; 0]);
    }

    /// So deep that the stack would end first.
    #[test]
    fn endless_nesting_is_refused() {
        const LEVELS: usize = 20_000;
        let chain = |namespace: &str, field: &dyn Fn(usize) -> String| {
            let fields = (0..LEVELS).map(|level| {
                let below = match level {
                    0 => json!([]),
                    _ => json!([{"name": "a", "type": format!("{namespace}{}.x", level - 1)}]),
                };
                let name = format!("{namespace}{level}.x");
                let record = json!({"type": "record", "name": name, "fields": below});
                json!({"name": field(level), "type": record})
            });
            let fields: Vec<Json> = fields.collect();
            json!({"type": "record", "name": "top", "fields": fields})
        };
        let reader = chain("r", &|level| format!("f{level}"));
        // Only the last record is compared, and from there all the way down.
        let writer = chain("w", &|level| match level + 1 {
            LEVELS => format!("f{level}"),
            _ => format!("g{level}"),
        });
        let reasons = reasons(&reader, &writer);
        assert!(!reasons.is_empty() && reasons.len() <= REASONS_MAX);
    }
}
