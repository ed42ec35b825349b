use std::fmt;
use std::str::FromStr;

use crate::{Error, Result, StructField};

/// The type of a feature.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FeatureType {
    Boolean,
    /// 32-bit signed integer.
    Int,
    /// 64-bit signed integer.
    BigInt,
    Float,
    Double,
    /// Exact decimal of `precision` digits (1 to 38), `scale` of them after the point.
    Decimal {
        precision: u8,
        scale: u8,
    },
    String,
    Binary,
    /// Days since 1970-01-01.
    Date,
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp,
    Array(Box<FeatureType>),
    /// Keys are strings.
    Map(Box<FeatureType>),
    Struct(Vec<StructField>),
    /// A vector of exactly this many floats.
    Embedding(u32),
}

const DECIMAL_PRECISION_MAX: u8 = 38;
const EMBEDDING_LENGTH_MAX: u32 = 65_536;
const NESTING_DEPTH_MAX: usize = 16;

impl FeatureType {
    /// Types that identify an entity: exact equality, one encoding per value.
    pub fn is_key_type(&self) -> bool {
        matches!(
            self,
            Self::Int
                | Self::BigInt
                | Self::String
                | Self::Boolean
                | Self::Date
                | Self::Timestamp
                | Self::Binary
        )
    }

    pub fn is_event_time_type(&self) -> bool {
        matches!(self, Self::Timestamp | Self::Date)
    }

    /// Checks limits that the grammar cannot express: decimal digits, embedding length, depth.
    pub fn validate(&self) -> Result<()> {
        self.validate_at(0)
    }

    fn validate_at(&self, depth: usize) -> Result<()> {
        let fail = |reason: String| {
            Err(Error::InvalidType {
                found: self.to_string(),
                reason,
            })
        };
        if depth > NESTING_DEPTH_MAX {
            return fail(format!("nested deeper than {NESTING_DEPTH_MAX} levels"));
        }
        match self {
            Self::Decimal { precision, scale } => {
                if *precision == 0 || *precision > DECIMAL_PRECISION_MAX || scale > precision {
                    return fail(format!(
                        "wanted 1 ≤ precision ≤ {DECIMAL_PRECISION_MAX} and scale ≤ precision"
                    ));
                }
                Ok(())
            }
            Self::Embedding(length) if *length == 0 || *length > EMBEDDING_LENGTH_MAX => {
                fail(format!("wanted a length from 1 to {EMBEDDING_LENGTH_MAX}"))
            }
            Self::Array(item) | Self::Map(item) => item.validate_at(depth + 1),
            Self::Struct(fields) => {
                if fields.is_empty() {
                    return fail("a struct needs at least one field".to_owned());
                }
                for (index, field) in fields.iter().enumerate() {
                    if fields[..index].iter().any(|other| other.name == field.name) {
                        return fail(format!("field `{}` stands twice", field.name));
                    }
                    field.r#type.validate_at(depth + 1)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for FeatureType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("boolean"),
            Self::Int => f.write_str("int"),
            Self::BigInt => f.write_str("bigint"),
            Self::Float => f.write_str("float"),
            Self::Double => f.write_str("double"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::String => f.write_str("string"),
            Self::Binary => f.write_str("binary"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Array(item) => write!(f, "array<{item}>"),
            Self::Map(item) => write!(f, "map<string,{item}>"),
            Self::Embedding(length) => write!(f, "embedding({length})"),
            Self::Struct(fields) => {
                f.write_str("struct<")?;
                for (index, field) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma}{}:{}", field.name, field.r#type)?;
                }
                f.write_str(">")
            }
        }
    }
}

impl FromStr for FeatureType {
    type Err = Error;

    /// Reads what `Display` writes; white space is ignored.
    fn from_str(text: &str) -> Result<Self> {
        let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let mut parser = Parser {
            text,
            rest: &compact,
        };
        let parsed = parser.parse(0)?;
        if !parser.rest.is_empty() {
            return parser.fail(format!("`{}` is left over", parser.rest));
        }
        parsed.validate()?;
        Ok(parsed)
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn fail<T>(&self, reason: impl Into<String>) -> Result<T> {
        Err(Error::InvalidType {
            found: self.text.to_owned(),
            reason: reason.into(),
        })
    }

    fn word(&mut self) -> &'a str {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn expect(&mut self, token: char) -> Result<()> {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => self.fail(format!("wanted `{token}` before `{}`", self.rest)),
        }
    }

    fn number<T: FromStr>(&mut self) -> Result<T> {
        let word = self.word();
        match word.parse() {
            Ok(number) => Ok(number),
            Err(_) => self.fail(format!("`{word}` is not a number in range")),
        }
    }

    fn parse(&mut self, depth: usize) -> Result<FeatureType> {
        if depth > NESTING_DEPTH_MAX {
            return self.fail(format!("nested deeper than {NESTING_DEPTH_MAX} levels"));
        }
        match self.word() {
            "boolean" => Ok(FeatureType::Boolean),
            "int" => Ok(FeatureType::Int),
            "bigint" => Ok(FeatureType::BigInt),
            "float" => Ok(FeatureType::Float),
            "double" => Ok(FeatureType::Double),
            "string" => Ok(FeatureType::String),
            "binary" => Ok(FeatureType::Binary),
            "date" => Ok(FeatureType::Date),
            "timestamp" => Ok(FeatureType::Timestamp),
            "decimal" => {
                self.expect('(')?;
                let precision = self.number()?;
                self.expect(',')?;
                let scale = self.number()?;
                self.expect(')')?;
                Ok(FeatureType::Decimal { precision, scale })
            }
            "embedding" => {
                self.expect('(')?;
                let length = self.number()?;
                self.expect(')')?;
                Ok(FeatureType::Embedding(length))
            }
            "array" => {
                self.expect('<')?;
                let item = self.parse(depth + 1)?;
                self.expect('>')?;
                Ok(FeatureType::Array(Box::new(item)))
            }
            "map" => {
                self.expect('<')?;
                let key = self.word();
                if key != "string" {
                    return self.fail(format!("map keys are `string`, found `{key}`"));
                }
                self.expect(',')?;
                let item = self.parse(depth + 1)?;
                self.expect('>')?;
                Ok(FeatureType::Map(Box::new(item)))
            }
            "struct" => self.parse_struct(depth),
            word => self.fail(format!(
                "`{word}` is not one of boolean, int, bigint, float, double, decimal(p,s), string, \
                 binary, date, timestamp, array<T>, map<string,T>, struct<…>, embedding(n)"
            )),
        }
    }

    fn parse_struct(&mut self, depth: usize) -> Result<FeatureType> {
        self.expect('<')?;
        let mut fields = Vec::new();
        loop {
            let name = self.word();
            self.expect(':')?;
            let r#type = self.parse(depth + 1)?;
            fields.push(StructField::new(name, r#type)?);
            if self.rest.starts_with(',') {
                self.expect(',')?;
            } else {
                self.expect('>')?;
                return Ok(FeatureType::Struct(fields));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_back_what_it_writes() {
        for text in [
            "boolean",
            "int",
            "bigint",
            "float",
            "double",
            "decimal(10,2)",
            "string",
            "binary",
            "date",
            "timestamp",
            "array<int>",
            "map<string,array<double>>",
            "struct<a:int,b:struct<c:string>>",
            "embedding(128)",
        ] {
            let parsed: FeatureType = text.parse().expect(text);
            assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, reason) in [
            ("integer", "`integer` is not one of"),
            ("decimal(40,2)", "wanted 1 ≤ precision ≤ 38"),
            ("decimal(4,5)", "scale ≤ precision"),
            ("array<int", "wanted `>`"),
            ("map<int,int>", "map keys are `string`"),
            ("embedding(0)", "wanted a length from 1"),
            ("struct<a:int,a:int>", "field `a` stands twice"),
            ("int int", "`intint` is not one of"),
            ("int>", "`>` is left over"),
        ] {
            let error = text.parse::<FeatureType>().expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_without_exhausting_the_stack() {
        let text = "array<".repeat(100_000);
        assert!(text.parse::<FeatureType>().is_err());
    }
}
