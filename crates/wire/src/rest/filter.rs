use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use twinfold_model::{CompareOp, Filter};

use super::ValueBody;

/// Filters nested deeper than this are refused: JSON readers give up at 128 levels.
pub const FILTER_DEPTH_MAX: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CompareOpBody {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FilterBody {
    Compare {
        feature: String,
        op: CompareOpBody,
        value: ValueBody,
    },
    In {
        feature: String,
        values: Vec<ValueBody>,
    },
    IsNull {
        feature: String,
    },
    Not(Box<FilterBody>),
    /// Two or more, combined from the left, so that a long chain is not deep.
    And(Vec<FilterBody>),
    Or(Vec<FilterBody>),
}

/// How deep the filter's JSON nests; a chain of `and` or of `or` counts once.
pub fn filter_depth(filter: &Filter) -> usize {
    let deepest = |parts: Vec<&Filter>| parts.into_iter().map(filter_depth).max().unwrap_or(0);
    1 + match filter {
        Filter::Not(inner) => filter_depth(inner),
        Filter::And(..) => deepest(chain(filter, and_sides)),
        Filter::Or(..) => deepest(chain(filter, or_sides)),
        Filter::Compare { .. } | Filter::In { .. } | Filter::IsNull { .. } => 0,
    }
}

type Sides = fn(&Filter) -> Option<(&Filter, &Filter)>;

fn and_sides(filter: &Filter) -> Option<(&Filter, &Filter)> {
    match filter {
        Filter::And(left, right) => Some((left, right)),
        _ => None,
    }
}

fn or_sides(filter: &Filter) -> Option<(&Filter, &Filter)> {
    match filter {
        Filter::Or(left, right) => Some((left, right)),
        _ => None,
    }
}

/// The operands of a chain that leans to the left, in the order written.
fn chain(filter: &Filter, sides: Sides) -> Vec<&Filter> {
    let mut operands = Vec::new();
    let mut rest = filter;
    while let Some((left, right)) = sides(rest) {
        operands.push(right);
        rest = left;
    }
    operands.push(rest);
    operands.reverse();
    operands
}

impl From<&Filter> for FilterBody {
    fn from(filter: &Filter) -> Self {
        let all = |operands: Vec<&Filter>| operands.into_iter().map(Self::from).collect();
        match filter {
            Filter::Compare { feature, op, value } => Self::Compare {
                feature: feature.clone(),
                op: (*op).into(),
                value: value.into(),
            },
            Filter::In { feature, values } => Self::In {
                feature: feature.clone(),
                values: values.iter().map(ValueBody::from).collect(),
            },
            Filter::IsNull { feature } => Self::IsNull {
                feature: feature.clone(),
            },
            Filter::Not(inner) => Self::Not(Box::new(inner.as_ref().into())),
            Filter::And(..) => Self::And(all(chain(filter, and_sides))),
            Filter::Or(..) => Self::Or(all(chain(filter, or_sides))),
        }
    }
}

impl TryFrom<FilterBody> for Filter {
    type Error = twinfold_model::Error;

    fn try_from(body: FilterBody) -> Result<Self, Self::Error> {
        Ok(match body {
            FilterBody::Compare { feature, op, value } => Self::Compare {
                feature,
                op: op.into(),
                value: value.into(),
            },
            FilterBody::In { feature, values } => Self::In {
                feature,
                values: values.into_iter().map(Into::into).collect(),
            },
            FilterBody::IsNull { feature } => Self::IsNull { feature },
            FilterBody::Not(inner) => Self::Not(Box::new((*inner).try_into()?)),
            FilterBody::And(operands) => combine("and", operands, Self::And)?,
            FilterBody::Or(operands) => combine("or", operands, Self::Or)?,
        })
    }
}

fn combine(
    name: &str,
    operands: Vec<FilterBody>,
    both: fn(Box<Filter>, Box<Filter>) -> Filter,
) -> Result<Filter, twinfold_model::Error> {
    let found = operands.len();
    let invalid = || twinfold_model::Error::InvalidQuery {
        reason: format!("filter `{name}` wants at least 2 operands, found {found}"),
    };
    if found < 2 {
        return Err(invalid());
    }
    let mut filters = operands.into_iter().map(Filter::try_from);
    let first = filters.next().ok_or_else(invalid)??;
    filters.try_fold(first, |left, right| {
        Ok(both(Box::new(left), Box::new(right?)))
    })
}

impl From<CompareOp> for CompareOpBody {
    fn from(op: CompareOp) -> Self {
        match op {
            CompareOp::Equal => Self::Equal,
            CompareOp::NotEqual => Self::NotEqual,
            CompareOp::Less => Self::Less,
            CompareOp::LessOrEqual => Self::LessOrEqual,
            CompareOp::Greater => Self::Greater,
            CompareOp::GreaterOrEqual => Self::GreaterOrEqual,
        }
    }
}

impl From<CompareOpBody> for CompareOp {
    fn from(op: CompareOpBody) -> Self {
        match op {
            CompareOpBody::Equal => Self::Equal,
            CompareOpBody::NotEqual => Self::NotEqual,
            CompareOpBody::Less => Self::Less,
            CompareOpBody::LessOrEqual => Self::LessOrEqual,
            CompareOpBody::Greater => Self::Greater,
            CompareOpBody::GreaterOrEqual => Self::GreaterOrEqual,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use twinfold_model::Value;

    use super::*;
    use crate::rest::samples;

    fn null(feature: &str) -> Filter {
        Filter::IsNull {
            feature: feature.to_owned(),
        }
    }

    fn and(left: Filter, right: Filter) -> Filter {
        Filter::And(Box::new(left), Box::new(right))
    }

    #[test]
    fn a_filter_is_readable() {
        let hot = Filter::Compare {
            feature: "temp".to_owned(),
            op: CompareOp::GreaterOrEqual,
            value: Value::Double(30.0),
        };
        let filter = and(and(hot, Filter::Not(Box::new(null("x")))), null("y"));
        let json = serde_json::to_string(&FilterBody::from(&filter)).expect("serializable");
        assert_eq!(
            json,
            concat!(
                r#"{"and":[{"compare":{"feature":"temp","op":"greater_or_equal","value":{"double":"30"}}},"#,
                r#"{"not":{"is_null":{"feature":"x"}}},{"is_null":{"feature":"y"}}]}"#
            )
        );
        assert_eq!(filter_depth(&filter), 3);
    }

    #[test]
    fn a_long_chain_is_not_deep() {
        let chain = (0..10_000).fold(null("f"), |left, _| and(left, null("g")));
        assert_eq!(filter_depth(&chain), 2);
        let json = serde_json::to_string(&FilterBody::from(&chain)).expect("serializable");
        let body: FilterBody = serde_json::from_str(&json).expect("readable");
        assert!(Filter::try_from(body).is_ok());
    }

    #[test]
    fn the_deepest_filter_allowed_can_be_read() {
        let nested = |depth: usize| (1..depth).fold(null("f"), |inner, _| and(null("g"), inner));
        let filter = nested(FILTER_DEPTH_MAX);
        assert_eq!(filter_depth(&filter), FILTER_DEPTH_MAX);
        let json = serde_json::to_string(&FilterBody::from(&filter)).expect("serializable");
        let body: FilterBody = serde_json::from_str(&json).expect("readable");
        assert_eq!(Filter::try_from(body), Ok(filter));
    }

    #[test]
    fn a_chain_of_one_is_refused() {
        let body: FilterBody =
            serde_json::from_str(r#"{"or":[{"is_null":{"feature":"x"}}]}"#).expect("readable");
        let error = Filter::try_from(body).expect_err("one operand").to_string();
        assert_eq!(
            error,
            "query: filter `or` wants at least 2 operands, found 1"
        );
    }

    proptest! {
        #[test]
        fn every_filter_reads_back(filter in samples::filter()) {
            let json = serde_json::to_string(&FilterBody::from(&filter)).expect("serializable");
            let body: FilterBody = serde_json::from_str(&json).expect("readable");
            prop_assert_eq!(Filter::try_from(body), Ok(filter));
        }
    }
}
