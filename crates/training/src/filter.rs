//! Filters of a query: checked against the columns of its result, compiled to DataFusion expressions.

use datafusion::logical_expr::{BinaryExpr, Expr, Operator, cast, ident, in_list, lit};
use twinfold_model::{
    CompareOp, Error as ModelError, FeatureType, Filter, Value, comparable, wide_type,
};
use twinfold_wire::record::arrow_type_of;

use crate::Result;
use crate::literal::scalar;
use crate::plan::Column;

/// The filter with every constant in the type of the column it is compared with, or in a wider one.
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
                value: comparable(value.clone(), &column.name, &column.r#type)?,
            }
        }
        Filter::In { feature, values } => {
            let column = find(feature)?;
            let values = values
                .iter()
                .map(|value| comparable(value.clone(), &column.name, &column.r#type));
            Filter::In {
                feature: feature.clone(),
                values: values.collect::<twinfold_model::Result<_>>()?,
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
    let type_of = |feature: &str| {
        let column = columns.iter().find(|column| column.name == feature);
        &column
            .expect("the filter was checked against these columns")
            .r#type
    };
    Ok(match filter {
        Filter::Compare { feature, op, value } => compared(feature, type_of(feature), *op, value)?,
        Filter::In { feature, values } => among(feature, type_of(feature), values)?,
        Filter::IsNull { feature } => ident(feature).is_null(),
        Filter::Not(inner) => !expression(inner, columns)?,
        Filter::And(a, b) => expression(a, columns)?.and(expression(b, columns)?),
        Filter::Or(a, b) => expression(a, columns)?.or(expression(b, columns)?),
    })
}

/// A comparison in the type of the column, or in that of a constant it widens to.
fn compared(feature: &str, column: &FeatureType, op: CompareOp, value: &Value) -> Result<Expr> {
    let (left, right) = match literal(feature, column, value) {
        Ok(constant) => (ident(feature), constant),
        Err(error) => {
            let wide = wide_type(value).ok_or(error)?;
            let constant = literal(feature, &wide, value)?;
            (cast(ident(feature), arrow_type_of(&wide)), constant)
        }
    };
    Ok(Expr::BinaryExpr(BinaryExpr::new(
        Box::new(left),
        operator(op),
        Box::new(right),
    )))
}

/// Constants of the column's type are looked up together; a wider one is compared by itself.
fn among(feature: &str, column: &FeatureType, values: &[Value]) -> Result<Expr> {
    let mut constants = Vec::with_capacity(values.len());
    let mut wider = Vec::new();
    for value in values {
        match literal(feature, column, value) {
            Ok(constant) => constants.push(constant),
            Err(_) => wider.push(compared(feature, column, CompareOp::Equal, value)?),
        }
    }
    let among = in_list(ident(feature), constants, false);
    Ok(wider.into_iter().fold(among, Expr::or))
}

fn literal(feature: &str, r#type: &FeatureType, value: &Value) -> Result<Expr> {
    let value = value.clone().coerced_to(feature, r#type)?;
    Ok(lit(scalar(&value, r#type)?))
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
