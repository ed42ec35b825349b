use std::fmt;

use super::SchemaError;

/// The context of names that do not say one.
pub(crate) const DEFAULT_CONTEXT: &str = ".";
/// Names are part of an index, whose entries have a limit in every database.
const BYTES_MAX: usize = 512;
/// Confluent uses these for purposes of its own.
const RESERVED: [&str; 2] = ["__GLOBAL", "__EMPTY"];

/// The name of a subject: `name`, or `:.context:name`.
///
/// A context is a namespace for subjects; ids are the same in all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    text: String,
}

impl Subject {
    pub fn new(found: &str) -> Result<Self, SchemaError> {
        match split(found)? {
            (_, "") => Err(invalid(found, "it is empty")),
            (DEFAULT_CONTEXT, name) => Ok(Self {
                text: name.to_owned(),
            }),
            (context, name) => Ok(Self {
                text: format!(":{context}:{name}"),
            }),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `.`, or a dot and the name.
    pub fn context(&self) -> &str {
        split(&self.text).map_or(DEFAULT_CONTEXT, |(context, _)| context)
    }

    /// Whether it is among those that a prefix names: `:*:name` in every context, `:.context:name` in one,
    /// `name` in the default one.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        let Ok((context, name)) = split(&self.text) else {
            return false;
        };
        match (prefix.strip_prefix(":*:"), split(prefix)) {
            (Some(wanted), _) => name.starts_with(wanted),
            (None, Ok((of, wanted))) => context == of && name.starts_with(wanted),
            (None, Err(_)) => false,
        }
    }

    /// Where its settings are looked for, in this order.
    pub fn scopes(&self) -> Vec<Scope> {
        let mut scopes = vec![Scope(self.text.clone())];
        let context = self.context();
        if context != DEFAULT_CONTEXT {
            scopes.push(Scope(format!(":{context}:")));
        }
        scopes.push(Scope::ALL);
        scopes
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a setting is for: a subject, a context or all subjects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope(String);

impl Scope {
    pub const ALL: Self = Self(String::new());

    /// A subject, or `:.context:`.
    pub fn new(found: &str) -> Result<Self, SchemaError> {
        match split(found)? {
            (DEFAULT_CONTEXT, "") if !found.is_empty() => Ok(Self::ALL),
            (context, "") if context != DEFAULT_CONTEXT => Ok(Self(format!(":{context}:"))),
            _ => Subject::new(found).map(|subject| Self(subject.text)),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// From what is for it alone to what is for all.
    pub fn wider(&self) -> Vec<Self> {
        match Subject::new(&self.0) {
            Ok(subject) => subject.scopes(),
            Err(_) if self.0.is_empty() => vec![Self::ALL],
            Err(_) => vec![self.clone(), Self::ALL],
        }
    }
}

/// Context and name.
fn split(found: &str) -> Result<(&str, &str), SchemaError> {
    if found.len() > BYTES_MAX {
        return Err(invalid(found, "it is longer than 512 bytes"));
    }
    if found.chars().any(char::is_control) {
        return Err(invalid(found, "it has control characters"));
    }
    let (context, name) = match found.strip_prefix(':') {
        Some(rest) if rest.starts_with('.') => match rest.split_once(':') {
            Some(split) => split,
            None => return Err(invalid(found, "its context is not followed by `:`")),
        },
        _ => (DEFAULT_CONTEXT, found),
    };
    if RESERVED.contains(&name) {
        return Err(invalid(found, "the name is reserved"));
    }
    Ok((context, name))
}

fn invalid(found: &str, reason: &'static str) -> SchemaError {
    SchemaError::InvalidSubject {
        found: found.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_say_its_context() {
        for (found, text, context) in [
            ("rides-value", "rides-value", "."),
            (":.:rides-value", "rides-value", "."),
            (":.staging:rides-value", ":.staging:rides-value", ".staging"),
            ("a/b:c", "a/b:c", "."),
        ] {
            let subject = Subject::new(found).expect("valid");
            assert_eq!((subject.as_str(), subject.context()), (text, context));
        }
        for found in [
            "",
            ":.staging:",
            ":.staging",
            "a\nb",
            "__GLOBAL",
            &"x".repeat(513),
        ] {
            let error = Subject::new(found).expect_err(found);
            assert_eq!(error.code(), 42_208, "{error}");
        }
    }

    #[test]
    fn a_prefix_names_one_context_or_all() {
        let matching = |prefix: &str| -> Vec<&str> {
            let all = ["rides", "trips", ":.c:rides"];
            let has = |name: &&str| Subject::new(name).expect("valid").has_prefix(prefix);
            all.into_iter().filter(has).collect()
        };
        assert_eq!(matching("ri"), ["rides"]);
        assert_eq!(matching(""), ["rides", "trips"]);
        assert_eq!(matching(":*:ri"), ["rides", ":.c:rides"]);
        assert_eq!(matching(":.c:"), [":.c:rides"]);
        assert_eq!(matching(":.c"), [""; 0]);
    }

    #[test]
    fn settings_are_looked_for_from_near_to_far() {
        let scopes = |found: &str| -> Vec<String> {
            let scope = Scope::new(found).expect("valid");
            scope.wider().into_iter().map(|scope| scope.0).collect()
        };
        assert_eq!(scopes("rides"), ["rides", ""]);
        assert_eq!(scopes(":.c:rides"), [":.c:rides", ":.c:", ""]);
        assert_eq!(scopes(":.c:"), [":.c:", ""]);
        assert_eq!(scopes(":.:"), [""]);
        assert!(Scope::new("").is_err());
    }
}
