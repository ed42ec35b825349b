//! Configuration from three layers: complete defaults, a file, the environment.
//!
//! The defaults are compiled in and are the reference: a key that is not in them does not exist. They are
//! valid, so each setting is judged alone in the place of its default, and one start shows every fault.

mod setting;

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use self::setting::{Setting, from_file, from_variables};
use crate::with_causes;

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

/// What is wrong with a setting that its type cannot say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// As `section.key`.
    pub key: &'static str,
    /// What was found, unless it may be secret, and what was wanted.
    pub reason: String,
}

/// The fault of a setting, when its check fails.
pub fn fault<T, E: Error>(key: &'static str, checked: Result<T, E>) -> Option<Fault> {
    let error = checked.err()?;
    Some(Fault {
        key,
        reason: with_causes(&error),
    })
}

/// Reads a configuration. A later layer wins: `default_toml`, then `file`, then variables named
/// `PREFIX__SECTION__KEY`.
///
/// `default_toml` names every key; a key elsewhere that it does not name is a fault, and so is a value of
/// another type, one that the type does not take, and what `check` finds in those that are left. All faults
/// come together, each with where its setting stands.
pub fn load<T: DeserializeOwned>(
    default_toml: &str,
    file: Option<&Path>,
    env: &dyn Strings,
    prefix: &str,
    check: impl FnOnce(&T) -> Vec<Fault>,
) -> Result<T, ConfigErrors> {
    let mut faults = Vec::new();
    let defaults = default_toml.parse::<Table>();
    let defaults = defaults.map_err(|error| ConfigErrors {
        faults: vec![format!("default.toml: {}", one_line(&error))],
    })?;
    let mut settings = Vec::new();
    if let Some(path) = file {
        settings.extend(from_file(path, &defaults, &mut faults));
    }
    settings.extend(from_variables(env, prefix, &defaults, &mut faults));
    settings.retain(|setting| {
        let fault = setting.judge::<T>(&defaults);
        let is_good = fault.is_none();
        faults.extend(fault);
        is_good
    });
    let mut config = defaults;
    for setting in &settings {
        setting.put_into(&mut config);
    }
    match T::deserialize(Value::Table(config)) {
        Ok(config) => {
            let found = check(&config);
            faults.extend(found.iter().map(|fault| located(fault, &settings)));
            if faults.is_empty() {
                return Ok(config);
            }
        }
        Err(error) => faults.push(one_line(&error)),
    }
    Err(ConfigErrors { faults })
}

/// A fault with where its setting stands.
fn located(fault: &Fault, settings: &[Setting]) -> String {
    let Fault { key, reason } = fault;
    let mut newest_first = settings.iter().rev();
    match newest_first.find(|setting| setting.key() == *key) {
        Some(setting) => format!("{}: {reason}", setting.origin),
        None => format!("default.toml: `{key}`: {reason}"),
    }
}

fn one_line(error: &toml::de::Error) -> String {
    error.to_string().trim().replace('\n', " | ")
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
        let variables = variables(pairs);
        load(DEFAULTS, path.as_deref(), &variables, "TWINFOLD", check)
    }

    fn check(config: &Config) -> Vec<Fault> {
        let checked = match config.server.name.as_str() {
            "nobody" => Err(std::io::Error::other("found `nobody`, wanted somebody")),
            _ => Ok(()),
        };
        Vec::from_iter(fault("server.name", checked))
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
    fn faults_of_every_kind_come_together_with_where_they_stand() {
        let file = "[server]\nname = \"nobody\"\nport = 70000\n[ingest]\ntags = [1]";
        let env = [
            ("TWINFOLD__SERVER__PORT", "-1"),
            ("TWINFOLD__SERVER__COLOUR", "red"),
            ("TWINFOLD__INGEST__STRICT", "perhaps"),
        ];
        let errors = load_from(Some(file), &env).expect_err("faults");
        let text = errors.to_string();
        for fault in [
            "`server.name`: found `nobody`, wanted somebody",
            "`server.port`: found `70000`, wanted u16",
            "`ingest.tags`: found `[1]`, wanted a string",
            "TWINFOLD__SERVER__PORT: found `-1`, wanted u16",
            "TWINFOLD__SERVER__COLOUR: there is no key for this variable",
            "TWINFOLD__INGEST__STRICT: found `perhaps`, wanted boolean",
        ] {
            assert!(text.contains(fault), "{fault} is not in:\n{text}");
        }
        assert_eq!(errors.faults.len(), 6, "{text}");
    }

    #[test]
    fn a_fault_is_that_of_the_layer_that_won() {
        let file = "[server]\nname = \"two\"";
        let env = [("TWINFOLD__SERVER__NAME", "nobody")];
        let errors = load_from(Some(file), &env).expect_err("nobody");
        let expected = "TWINFOLD__SERVER__NAME: found `nobody`, wanted somebody";
        assert_eq!(errors.faults, [expected]);
    }

    #[test]
    fn secrets_are_not_shown() {
        const DEFAULTS: &str = "[store]\nurl = \"\"";
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        write!(file, "[store]\nurl = [\"a://me:hush@b\"]").expect("written");
        let none = variables(&[]);
        let loaded = load::<Table>(DEFAULTS, Some(file.path()), &none, "TWINFOLD", |_| {
            Vec::new()
        });
        let text = loaded.expect_err("an array").to_string();
        assert!(
            text.contains("`store.url`: found array, wanted string"),
            "{text}"
        );
        assert!(!text.contains("hush"), "{text}");

        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        write!(file, "[store]\nurl = a://me:hush@b").expect("written");
        let loaded = load::<Table>(DEFAULTS, Some(file.path()), &none, "TWINFOLD", |_| {
            Vec::new()
        });
        let text = loaded.expect_err("no TOML").to_string();
        assert!(text.contains("line 2"), "{text}");
        assert!(!text.contains("hush"), "{text}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let path = Path::new("/nowhere/twinfold.toml");
        let none = variables(&[]);
        let result = load::<Config>(DEFAULTS, Some(path), &none, "TWINFOLD", check);
        let error = result.expect_err("no such file").to_string();
        assert!(error.contains("/nowhere/twinfold.toml"), "{error}");
    }
}
