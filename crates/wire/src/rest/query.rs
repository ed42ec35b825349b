use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use twinfold_model::{AsOf, Error, EventTime, Join, JoinKind, Query, Selection};

use super::{FeatureGroupIdBody, FilterBody};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AsOfBody {
    Commit(u64),
    /// Microseconds since 1970-01-01T00:00:00Z.
    TimeUs(i64),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelectionBody {
    pub group: FeatureGroupIdBody,
    pub features: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<AsOfBody>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JoinKindBody {
    #[default]
    Left,
    Inner,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinPairBody {
    pub left: String,
    pub right: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinBody {
    pub right: SelectionBody,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<JoinPairBody>,
    #[serde(default)]
    pub kind: JoinKindBody,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryBody {
    pub left: SelectionBody,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joins: Vec<JoinBody>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<FilterBody>,
}

impl From<&Query> for QueryBody {
    fn from(query: &Query) -> Self {
        Self {
            left: (&query.left).into(),
            joins: query.joins.iter().map(JoinBody::from).collect(),
            filter: query.filter.as_ref().map(FilterBody::from),
        }
    }
}

impl TryFrom<QueryBody> for Query {
    type Error = Error;

    fn try_from(body: QueryBody) -> Result<Self, Error> {
        Ok(Self {
            left: body.left.try_into()?,
            joins: body
                .joins
                .into_iter()
                .map(Join::try_from)
                .collect::<Result<_, _>>()?,
            filter: body.filter.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<&Selection> for SelectionBody {
    fn from(selection: &Selection) -> Self {
        Self {
            group: (&selection.group).into(),
            features: selection.features.clone(),
            as_of: selection.as_of.map(|as_of| match as_of {
                AsOf::Commit(commit) => AsOfBody::Commit(commit),
                AsOf::Time(time) => AsOfBody::TimeUs(time.micros()),
            }),
        }
    }
}

impl TryFrom<SelectionBody> for Selection {
    type Error = Error;

    fn try_from(body: SelectionBody) -> Result<Self, Error> {
        Ok(Self {
            group: body.group.try_into()?,
            features: body.features,
            as_of: body.as_of.map(|as_of| match as_of {
                AsOfBody::Commit(commit) => AsOf::Commit(commit),
                AsOfBody::TimeUs(micros) => AsOf::Time(EventTime::from_micros(micros)),
            }),
        })
    }
}

impl From<&Join> for JoinBody {
    fn from(join: &Join) -> Self {
        Self {
            right: (&join.right).into(),
            on: join
                .on
                .iter()
                .map(|(left, right)| JoinPairBody {
                    left: left.clone(),
                    right: right.clone(),
                })
                .collect(),
            kind: match join.kind {
                JoinKind::Left => JoinKindBody::Left,
                JoinKind::Inner => JoinKindBody::Inner,
            },
            prefix: join.prefix.clone(),
        }
    }
}

impl TryFrom<JoinBody> for Join {
    type Error = Error;

    fn try_from(body: JoinBody) -> Result<Self, Error> {
        Ok(Self {
            right: body.right.try_into()?,
            on: body
                .on
                .into_iter()
                .map(|pair| (pair.left, pair.right))
                .collect(),
            kind: match body.kind {
                JoinKindBody::Left => JoinKind::Left,
                JoinKindBody::Inner => JoinKind::Inner,
            },
            prefix: body.prefix,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rest::samples;

    const JSON: &str = r#"{
  "left": {
    "group": {
      "project": "default",
      "name": "trips",
      "version": 1
    },
    "features": [
      "fare"
    ]
  },
  "joins": [
    {
      "right": {
        "group": {
          "project": "default",
          "name": "weather",
          "version": 2
        },
        "features": [
          "temp"
        ],
        "as_of": {
          "commit": 7
        }
      },
      "on": [
        {
          "left": "origin",
          "right": "place"
        }
      ],
      "kind": "inner",
      "prefix": "w_"
    }
  ]
}"#;

    #[test]
    fn a_query_is_readable() {
        let body: QueryBody = serde_json::from_str(JSON).expect("readable");
        let query = Query::try_from(body).expect("valid");
        assert_eq!(
            query.joins[0].on,
            [("origin".to_owned(), "place".to_owned())]
        );
        assert_eq!(query.joins[0].right.as_of, Some(AsOf::Commit(7)));
        let written = serde_json::to_string_pretty(&QueryBody::from(&query));
        assert_eq!(written.expect("serializable"), JSON);
    }

    #[test]
    fn a_misspelt_option_is_named() {
        let json = JSON.replace("\"prefix\"", "\"preffix\"");
        let error = serde_json::from_str::<QueryBody>(&json).expect_err("unknown field");
        assert!(error.to_string().contains("`preffix`"), "{error}");
    }

    proptest! {
        #[test]
        fn every_query_reads_back(query in samples::query()) {
            let json = serde_json::to_string(&QueryBody::from(&query)).expect("serializable");
            let body: QueryBody = serde_json::from_str(&json).expect("readable");
            prop_assert_eq!(Query::try_from(body), Ok(query));
        }
    }
}
