//! Filters of a query: checked against the columns of its result, compiled to DataFusion expressions.

use datafusion::logical_expr::{BinaryExpr, Expr, Operator, ident, in_list, lit};
use twinfold_model::{CompareOp, Error as ModelError, FeatureType, Filter, Value};

use crate::literal::scalar;
use crate::plan::Column;
use crate::{Error, Result};

/// The filter with every constant in the type of the column it is compared with.
pub(crate) fn checked(filter: &Filter, columns: &[Column]) -> Result<Filter> {
    let find = |name: &str| {
        columns
            .iter()
            .find(|column| column.name == name)
            .ok_or_else(|| ModelError::UnknownFeature {
                feature: name.to_owned(),
                owner: "the query's result".to_owned(),
                known: columns.iter().map(|column| column.name.clone()).collect(),
            })
    };
    Ok(match filter {
        Filter::Compare { feature, op, value } => {
            let column = find(feature)?;
            Filter::Compare {
                feature: feature.clone(),
                op: *op,
                value: constant(value, column)?,
            }
        }
        Filter::In { feature, values } => {
            let column = find(feature)?;
            let values = values.iter().map(|value| constant(value, column));
            Filter::In {
                feature: feature.clone(),
                values: values.collect::<Result<_>>()?,
            }
        }
        Filter::IsNull { feature } => {
            find(feature)?;
            filter.clone()
        }
        Filter::Not(inner) => Filter::Not(Box::new(checked(inner, columns)?)),
        Filter::And(a, b) => Filter::And(
            Box::new(checked(a, columns)?),
            Box::new(checked(b, columns)?),
        ),
        Filter::Or(a, b) => Filter::Or(
            Box::new(checked(a, columns)?),
            Box::new(checked(b, columns)?),
        ),
    })
}

fn constant(value: &Value, column: &Column) -> Result<Value> {
    if matches!(
        column.r#type,
        FeatureType::Array(_)
            | FeatureType::Map(_)
            | FeatureType::Struct(_)
            | FeatureType::Embedding(_)
    ) {
        return Err(Error::query(format!(
            "column `{}` of type {} cannot be compared in a filter; only its being null can be asked",
            column.name, column.r#type
        )));
    }
    Ok(value.clone().coerced_to(&column.name, &column.r#type)?)
}

/// The parts of a filter that must all hold.
pub(crate) fn conjuncts(filter: Filter) -> Vec<Filter> {
    match filter {
        Filter::And(a, b) => {
            let mut parts = conjuncts(*a);
            parts.extend(conjuncts(*b));
            parts
        }
        other => vec![other],
    }
}

/// True when every column that the filter names satisfies `holds`.
pub(crate) fn concerns_only(filter: &Filter, holds: &impl Fn(&str) -> bool) -> bool {
    match filter {
        Filter::Compare { feature, .. }
        | Filter::In { feature, .. }
        | Filter::IsNull { feature } => holds(feature),
        Filter::Not(inner) => concerns_only(inner, holds),
        Filter::And(a, b) | Filter::Or(a, b) => concerns_only(a, holds) && concerns_only(b, holds),
    }
}

/// The filter as an expression over columns of the same names; it must have been [`checked`].
pub(crate) fn expression(filter: &Filter, columns: &[Column]) -> Result<Expr> {
    let literal = |feature: &str, value: &Value| -> Result<Expr> {
        let column = columns
            .iter()
            .find(|column| column.name == feature)
            .expect("the filter was checked against these columns");
        Ok(lit(scalar(value, &column.r#type)?))
    };
    Ok(match filter {
        Filter::Compare { feature, op, value } => Expr::BinaryExpr(BinaryExpr::new(
            Box::new(ident(feature)),
            operator(*op),
            Box::new(literal(feature, value)?),
        )),
        Filter::In { feature, values } => {
            let values = values.iter().map(|value| literal(feature, value));
            in_list(ident(feature), values.collect::<Result<_>>()?, false)
        }
        Filter::IsNull { feature } => ident(feature).is_null(),
        Filter::Not(inner) => !expression(inner, columns)?,
        Filter::And(a, b) => expression(a, columns)?.and(expression(b, columns)?),
        Filter::Or(a, b) => expression(a, columns)?.or(expression(b, columns)?),
    })
}

fn operator(op: CompareOp) -> Operator {
    match op {
        CompareOp::Equal => Operator::Eq,
        CompareOp::NotEqual => Operator::NotEq,
        CompareOp::Less => Operator::Lt,
        CompareOp::LessOrEqual => Operator::LtEq,
        CompareOp::Greater => Operator::Gt,
        CompareOp::GreaterOrEqual => Operator::GtEq,
    }
}
