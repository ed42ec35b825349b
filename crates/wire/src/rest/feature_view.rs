use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use twinfold_model::{Error, FeatureView, FeatureViewId};

use super::{QueryBody, ValueBody};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureViewIdBody {
    pub project: String,
    pub name: String,
    pub version: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureViewBody {
    pub project: String,
    pub name: String,
    pub version: u32,
    pub query: QueryBody,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub defaults: BTreeMap<String, ValueBody>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

impl From<&FeatureViewId> for FeatureViewIdBody {
    fn from(id: &FeatureViewId) -> Self {
        Self {
            project: id.project.to_string(),
            name: id.name.to_string(),
            version: id.version,
        }
    }
}

impl TryFrom<FeatureViewIdBody> for FeatureViewId {
    type Error = Error;

    fn try_from(body: FeatureViewIdBody) -> Result<Self, Error> {
        Self::new(&body.project, &body.name, body.version)
    }
}

impl From<&FeatureView> for FeatureViewBody {
    fn from(view: &FeatureView) -> Self {
        let FeatureViewIdBody {
            project,
            name,
            version,
        } = (&view.id).into();
        Self {
            project,
            name,
            version,
            query: (&view.query).into(),
            labels: view.labels.clone(),
            defaults: view
                .defaults
                .iter()
                .map(|(column, value)| (column.clone(), value.into()))
                .collect(),
            description: view.description.clone(),
        }
    }
}

impl TryFrom<FeatureViewBody> for FeatureView {
    type Error = Error;

    fn try_from(body: FeatureViewBody) -> Result<Self, Error> {
        let view = Self {
            id: FeatureViewId::new(&body.project, &body.name, body.version)?,
            query: body.query.try_into()?,
            labels: body.labels,
            defaults: body
                .defaults
                .into_iter()
                .map(|(column, value)| (column, value.into()))
                .collect(),
            description: body.description,
        };
        view.validate()?;
        Ok(view)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use twinfold_model::Value;

    use super::*;
    use crate::rest::samples;

    const JSON: &str = r#"{
  "project": "default",
  "name": "fares",
  "version": 3,
  "query": {
    "left": {
      "group": {
        "project": "default",
        "name": "trips",
        "version": 1
      },
      "features": [
        "fare",
        "km"
      ]
    }
  },
  "labels": [
    "fare"
  ],
  "defaults": {
    "km": {
      "double": "1.5"
    }
  },
  "description": "what a ride costs"
}"#;

    #[test]
    fn a_feature_view_is_readable() {
        let body: FeatureViewBody = serde_json::from_str(JSON).expect("readable");
        let view = FeatureView::try_from(body).expect("valid");
        assert_eq!(view.defaults["km"], Value::Double(1.5));
        let written = serde_json::to_string_pretty(&FeatureViewBody::from(&view));
        assert_eq!(written.expect("serializable"), JSON);
    }

    #[test]
    fn a_label_that_no_column_has_is_refused() {
        let json = JSON.replace(
            "\"labels\": [\n    \"fare\"",
            "\"labels\": [\n    \"price\"",
        );
        let body: FeatureViewBody = serde_json::from_str(&json).expect("readable");
        let error = FeatureView::try_from(body).expect_err("no such column");
        assert!(
            error.to_string().contains("`price` does not exist"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn every_feature_view_reads_back(view in samples::feature_view()) {
            let json = serde_json::to_string(&FeatureViewBody::from(&view)).expect("serializable");
            let body: FeatureViewBody = serde_json::from_str(&json).expect("readable");
            prop_assert_eq!(FeatureView::try_from(body), Ok(view));
        }
    }
}
