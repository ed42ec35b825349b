//! Configuration from three layers: complete defaults, a file, the environment.
//!
//! The defaults are compiled in and are the reference: a key that is not in them does not exist.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Where variables come from: the environment of the process, or a map in a test.
pub trait Strings {
    /// Names and values of the variables whose name starts with `prefix`.
    fn starting_with(&self, prefix: &str) -> Vec<(String, OsString)>;
}

/// The environment of the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Env;

impl Strings for Env {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    fn starting_with(&self, prefix: &str) -> Vec<(String, OsString)> {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(prefix))
            .collect()
    }
}

impl Strings for BTreeMap<String, String> {
    fn starting_with(&self, prefix: &str) -> Vec<(String, OsString)> {
        self.iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .map(|(name, value)| (name.clone(), value.into()))
            .collect()
    }
}

/// Everything that is wrong with a configuration, so that one start shows all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    pub faults: Vec<String>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is not valid")?;
        for fault in &self.faults {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Reads a configuration. A later layer wins: `default_toml`, then `file`, then variables named
/// `PREFIX__SECTION__KEY`.
///
/// `default_toml` names every key; a key elsewhere that it does not name is a fault, and so is a
/// value of another type. All faults come together.
pub fn load<T: DeserializeOwned>(
    default_toml: &str,
    file: Option<&Path>,
    env: &dyn Strings,
    prefix: &str,
) -> Result<T, ConfigErrors> {
    let mut faults = Vec::new();
    let mut config = match default_toml.parse::<Table>() {
        Ok(table) => table,
        Err(error) => {
            let fault = format!("default.toml: {}", one_line(&error));
            return Err(ConfigErrors {
                faults: vec![fault],
            });
        }
    };
    if let Some(path) = file {
        let origin = path.display().to_string();
        match read(path) {
            Ok(table) => overlay(&mut config, table, &origin, "", &mut faults),
            Err(reason) => faults.push(format!("{origin}: {reason}")),
        }
    }
    overlay_variables(&mut config, env, prefix, &mut faults);
    if !faults.is_empty() {
        return Err(ConfigErrors { faults });
    }
    T::deserialize(Value::Table(config)).map_err(|error| ConfigErrors {
        faults: vec![one_line(&error)],
    })
}

fn read(path: &Path) -> Result<Table, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    text.parse().map_err(|error| one_line(&error))
}

fn one_line(error: &toml::de::Error) -> String {
    error.to_string().trim().replace('\n', " | ")
}

fn overlay(base: &mut Table, layer: Table, origin: &str, path: &str, faults: &mut Vec<String>) {
    for (key, value) in layer {
        let name = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        match (base.get_mut(&key), value) {
            (None, _) => faults.push(format!("{origin}: `{name}` is not a known key")),
            (Some(Value::Table(base)), Value::Table(layer)) => {
                overlay(base, layer, origin, &name, faults);
            }
            (Some(default), value) => match as_type_of(default, value) {
                Ok(value) => *default = value,
                Err(found) => faults.push(format!(
                    "{origin}: `{name}`: found {found}, wanted {}",
                    default.type_str()
                )),
            },
        }
    }
}

/// `value` when it has the type of `default`; a whole number may stand where a float is wanted.
fn as_type_of(default: &Value, value: Value) -> Result<Value, String> {
    match (default, value) {
        (Value::Float(_), Value::Integer(number)) => Ok(Value::Float(number as f64)),
        (default, value) if default.same_type(&value) => Ok(value),
        (_, value) => Err(format!("{} `{value}`", value.type_str())),
    }
}

fn overlay_variables(
    config: &mut Table,
    env: &dyn Strings,
    prefix: &str,
    faults: &mut Vec<String>,
) {
    let prefix = format!("{prefix}__");
    for (name, value) in env.starting_with(&prefix) {
        let path = name[prefix.len()..].to_lowercase();
        let Some(default) = find(config, &path) else {
            faults.push(format!("{name}: there is no key for this variable"));
            continue;
        };
        let parsed = match value.to_str() {
            None => Err("bytes that are not UTF-8".to_owned()),
            Some(text) => parse_as(default, text),
        };
        match parsed {
            Ok(value) => *default = value,
            Err(found) => {
                faults.push(format!(
                    "{name}: found {found}, wanted {}",
                    default.type_str()
                ));
            }
        }
    }
}

/// The value at `section__key`.
fn find<'a>(config: &'a mut Table, path: &str) -> Option<&'a mut Value> {
    match path.split_once("__") {
        None => config.get_mut(path).filter(|value| !value.is_table()),
        Some((section, rest)) => match config.get_mut(section) {
            Some(Value::Table(section)) => find(section, rest),
            _ => None,
        },
    }
}

/// A variable is text: strings are taken as they stand, all else is written as in TOML.
fn parse_as(default: &Value, text: &str) -> Result<Value, String> {
    if default.is_str() {
        return Ok(Value::String(text.to_owned()));
    }
    let found = || format!("`{text}`");
    let mut table: Table = format!("value = {text}").parse().map_err(|_| found())?;
    match (table.remove("value"), table.is_empty()) {
        (Some(value), true) => as_type_of(default, value),
        _ => Err(found()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use serde::Deserialize;

    use super::*;

    const DEFAULTS: &str = "
        [server]
        name = \"one\"
        port = 8080
        ratio = 0.5
        [ingest]
        tags = [\"a\"]
        strict = true
    ";

    #[derive(Debug, Deserialize, PartialEq)]
    struct Server {
        name: String,
        port: u16,
        ratio: f64,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Ingest {
        tags: Vec<String>,
        strict: bool,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Config {
        server: Server,
        ingest: Ingest,
    }

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn load_from(file: Option<&str>, pairs: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
        let path = file.map(|text| {
            let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
            file.write_all(text.as_bytes()).expect("written");
            file.into_temp_path()
        });
        load(DEFAULTS, path.as_deref(), &variables(pairs), "TWINFOLD")
    }

    #[test]
    fn defaults_alone_are_complete() {
        let config = load_from(None, &[("PATH", "/bin")]).expect("complete");
        assert_eq!(config.server.port, 8080);
        assert_eq!(config.ingest.tags, ["a"]);
    }

    #[test]
    fn the_file_wins_over_defaults_and_variables_over_both() {
        let file = "[server]\nname = \"two\"\nport = 1\nratio = 2";
        let env = [
            ("TWINFOLD__SERVER__PORT", "9"),
            ("TWINFOLD__INGEST__TAGS", "[\"x\", \"y\"]"),
            ("TWINFOLD__INGEST__STRICT", "false"),
        ];
        let config = load_from(Some(file), &env).expect("valid");
        let expected = Config {
            server: Server {
                name: "two".to_owned(),
                port: 9,
                ratio: 2.0,
            },
            ingest: Ingest {
                tags: vec!["x".to_owned(), "y".to_owned()],
                strict: false,
            },
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn every_fault_is_listed_at_once() {
        let file = "[server]\nport = \"x\"\ncolour = 1\n[nothing]\nkey = 1";
        let env = [
            ("TWINFOLD__SERVER__PORT", "many"),
            ("TWINFOLD__SERVER__HOST", "h"),
            ("TWINFOLD__INGEST", "1"),
            ("TWINFOLD__INGEST__STRICT", "true\nother = 1"),
        ];
        let errors = load_from(Some(file), &env).expect_err("faults");
        let text = errors.to_string();
        for fault in [
            "`server.port`: found string `\"x\"`, wanted integer",
            "`server.colour` is not a known key",
            "`nothing` is not a known key",
            "TWINFOLD__SERVER__PORT: found `many`, wanted integer",
            "TWINFOLD__SERVER__HOST: there is no key for this variable",
            "TWINFOLD__INGEST: there is no key for this variable",
            "TWINFOLD__INGEST__STRICT: found `true\nother = 1`, wanted boolean",
        ] {
            assert!(text.contains(fault), "{fault} is not in:\n{text}");
        }
        assert_eq!(errors.faults.len(), 7, "{text}");
    }

    #[test]
    fn a_value_out_of_range_is_a_fault() {
        let error = load_from(None, &[("TWINFOLD__SERVER__PORT", "70000")]).expect_err("u16");
        assert!(error.to_string().contains("70000"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let path = Path::new("/nowhere/twinfold.toml");
        let result = load::<Config>(DEFAULTS, Some(path), &variables(&[]), "TWINFOLD");
        let error = result.expect_err("no such file").to_string();
        assert!(error.contains("/nowhere/twinfold.toml"), "{error}");
    }
}
