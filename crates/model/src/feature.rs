use crate::{Error, FeatureType, Name, Result, Value};

/// One column of a feature group.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    pub name: Name,
    pub r#type: FeatureType,
    /// Keys and the event time are never nullable; other features are unless said otherwise.
    pub nullable: bool,
    /// What a reader sees for rows written before the feature existed, and for missing rows.
    pub default: Option<Value>,
    pub description: String,
}

impl Feature {
    /// A nullable feature without a default.
    pub fn new(name: &str, r#type: FeatureType) -> Result<Self> {
        r#type.validate()?;
        Ok(Self {
            name: Name::new("feature", name)?,
            r#type,
            nullable: true,
            default: None,
            description: String::new(),
        })
    }

    pub fn required(mut self) -> Self {
        self.nullable = false;
        self
    }

    /// Sets the default after checking that it has the feature's type.
    pub fn with_default(mut self, default: Value) -> Result<Self> {
        if default.is_null() && !self.nullable {
            return Err(Error::TypeMismatch {
                feature: self.name.to_string(),
                found: "default null".to_owned(),
                wanted: format!(
                    "a {} value, because the feature is not nullable",
                    self.r#type
                ),
                row: None,
            });
        }
        self.default = Some(default.coerced_to(self.name.as_str(), &self.r#type)?);
        Ok(self)
    }
}

/// A field of a struct type. Fields are always nullable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StructField {
    pub name: String,
    pub r#type: FeatureType,
}

impl StructField {
    pub fn new(name: &str, r#type: FeatureType) -> Result<Self> {
        let mut bytes = name.bytes();
        let valid = bytes
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
            && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !valid {
            return Err(Error::InvalidType {
                found: format!("struct<{name}:{}>", r#type),
                reason: format!("`{name}` is not a valid field name"),
            });
        }
        Ok(Self {
            name: name.to_owned(),
            r#type,
        })
    }
}
