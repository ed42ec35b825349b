//! Single settings: where they stand, and whether their types take them.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::Strings;

/// Sections and keys whose values may hold passwords.
const SECRETS: &[&str] = &["password", "stores", "url"];

/// A value that is to take the place of a default, of the same type.
#[derive(Debug)]
pub(super) struct Setting {
    /// Where it stands, for people.
    pub origin: String,
    /// From the outermost section to the key.
    path: Vec<String>,
    value: Value,
}

/// The settings of a file that `defaults` knows.
pub(super) fn from_file(path: &Path, defaults: &Table, faults: &mut Vec<String>) -> Vec<Setting> {
    let file = path.display().to_string();
    let mut found = Found {
        file: &file,
        settings: Vec::new(),
        faults,
    };
    match read(path) {
        Ok(table) => found.add(&[], table, defaults),
        Err(reason) => found.faults.push(format!("{file}: {reason}")),
    }
    found.settings
}

fn read(path: &Path) -> Result<Table, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    text.parse().map_err(|error: toml::de::Error| {
        // Without the line itself, which may hold a password.
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.unwrap_or_default().matches('\n').count() + 1;
        format!("line {line}: {}", error.message())
    })
}

/// What was found in a file so far.
struct Found<'a> {
    file: &'a str,
    settings: Vec<Setting>,
    faults: &'a mut Vec<String>,
}

impl Found<'_> {
    /// The settings of one section and of those below it.
    fn add(&mut self, sections: &[String], table: Table, defaults: &Table) {
        for (key, value) in table {
            let path = [sections, std::slice::from_ref(&key)].concat();
            let origin = format!("{}: `{}`", self.file, path.join("."));
            match (defaults.get(&key), value) {
                (None, _) => self.faults.push(format!("{origin} is not a known key")),
                (Some(Value::Table(defaults)), Value::Table(table)) => {
                    self.add(&path, table, defaults);
                }
                (Some(default), value) => match as_type_of(default, value) {
                    Ok(value) => self.settings.push(Setting {
                        origin,
                        path,
                        value,
                    }),
                    Err(value) => {
                        let (found, wanted) = (value.type_str(), default.type_str());
                        let shown = match is_secret(&path) {
                            true => String::new(),
                            false => format!(" `{value}`"),
                        };
                        let fault = format!("{origin}: found {found}{shown}, wanted {wanted}");
                        self.faults.push(fault);
                    }
                },
            }
        }
    }
}

/// The settings among the variables that begin with `prefix`, all of which are meant as settings.
pub(super) fn from_variables(
    env: &dyn Strings,
    prefix: &str,
    defaults: &Table,
    faults: &mut Vec<String>,
) -> Vec<Setting> {
    let prefix = format!("{prefix}__");
    let mut settings = Vec::new();
    for (name, value) in env.starting_with(&prefix) {
        let path = name[prefix.len()..].to_lowercase();
        let path: Vec<String> = path.split("__").map(str::to_owned).collect();
        let Some(default) = find(defaults, &path) else {
            faults.push(format!("{name}: there is no key for this variable"));
            continue;
        };
        let parsed = match value.to_str() {
            None => Err("bytes that are not UTF-8".to_owned()),
            Some(text) => parse_as(default, text).ok_or_else(|| format!("`{text}`")),
        };
        match parsed {
            Ok(value) => settings.push(Setting {
                origin: name,
                path,
                value,
            }),
            Err(found) => {
                let wanted = default.type_str();
                faults.push(format!("{name}: found {found}, wanted {wanted}"));
            }
        }
    }
    settings
}

/// The value of a key; a section has none.
fn find<'a>(config: &'a Table, path: &[String]) -> Option<&'a Value> {
    let (key, sections) = path.split_last()?;
    let mut table = config;
    for section in sections {
        table = table.get(section)?.as_table()?;
    }
    table.get(key).filter(|value| !value.is_table())
}

/// `value` when it has the type of `default`; a whole number may stand where a float is wanted.
fn as_type_of(default: &Value, value: Value) -> Result<Value, Value> {
    match (default, value) {
        (Value::Float(_), Value::Integer(number)) => Ok(Value::Float(number as f64)),
        (default, value) if default.same_type(&value) => Ok(value),
        (_, value) => Err(value),
    }
}

/// A variable is text: strings are taken as they stand, all else is written as in TOML.
fn parse_as(default: &Value, text: &str) -> Option<Value> {
    if default.is_str() {
        return Some(Value::String(text.to_owned()));
    }
    let mut table: Table = format!("value = {text}").parse().ok()?;
    let value = table.remove("value")?;
    let value = as_type_of(default, value).ok()?;
    table.is_empty().then_some(value)
}

fn is_secret(path: &[String]) -> bool {
    path.iter().any(|part| SECRETS.contains(&part.as_str()))
}

impl Setting {
    /// As `section.key`.
    pub fn key(&self) -> String {
        self.path.join(".")
    }

    /// What is wrong with it when all others have their defaults.
    pub fn judge<T: DeserializeOwned>(&self, defaults: &Table) -> Option<String> {
        let mut config = defaults.clone();
        self.put_into(&mut config);
        let error = T::deserialize(Value::Table(config)).err()?;
        let found = match is_secret(&self.path) {
            true => "what is not shown".to_owned(),
            false => format!("`{}`", self.value),
        };
        // As serde says what it was given and what it expected.
        let reason = match error.message().split_once(", expected ") {
            Some((_, wanted)) => format!("found {found}, wanted {wanted}"),
            None => format!("found {found}: {}", error.message()),
        };
        Some(format!("{}: {reason}", self.origin))
    }

    pub fn put_into(&self, config: &mut Table) {
        let Some((key, sections)) = self.path.split_last() else {
            return;
        };
        let mut table = config;
        for section in sections {
            let Some(inner) = table.get_mut(section).and_then(Value::as_table_mut) else {
                return;
            };
            table = inner;
        }
        table.insert(key.clone(), self.value.clone());
    }
}
