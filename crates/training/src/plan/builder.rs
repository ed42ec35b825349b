use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use twinfold_model::{
    Error, Feature, FeatureGroup, FeatureGroupId, FeatureType, Join, JoinKind, Query, coercion,
};
use twinfold_wire::record::feature_type_of;

use super::{Column, Lookup, Plan, SpineColumn, SpineOrigin, SpineSchema};
use crate::filter;
use crate::{Error as TrainingError, Result};

/// Before the names of columns that the spine brings for its look-ups alone.
const INTERNAL_PREFIX: &str = "_left_";

pub(super) fn plan(
    query: &Query,
    groups: &[Arc<FeatureGroup>],
    spine: SpineSchema<'_>,
) -> Result<Plan> {
    let left = find_group(groups, &query.left.group)?;
    let mut builder = match spine {
        SpineSchema::LeftGroup => Builder::from_left_group(query, left)?,
        SpineSchema::Dataframe { schema, event_time } => {
            Builder::from_dataframe(query, left, schema, event_time)?
        }
    };
    for (index, join) in query.joins.iter().enumerate() {
        let group = find_group(groups, &join.right.group)?;
        builder.add_join(index + 1, join, group)?;
    }
    builder.finish(query)
}

/// The spine's columns and look-ups as far as they are known.
struct Builder {
    origin: SpineOrigin,
    /// What the spine can bring: (column, type).
    available: Vec<(String, FeatureType)>,
    owner: String,
    spine: Vec<SpineColumn>,
    lookups: Vec<Lookup>,
    columns: Vec<Column>,
    timed: bool,
}

/// Features of a group that are to be looked up.
struct Wanted<'a> {
    group: &'a Arc<FeatureGroup>,
    /// (column of the spine, key feature of the group).
    on: Vec<(String, String)>,
    features: &'a [String],
    prefix: &'a str,
    kind: JoinKind,
}

impl Builder {
    fn from_left_group(query: &Query, group: &Arc<FeatureGroup>) -> Result<Self> {
        let mut builder = Self {
            available: group
                .features()
                .iter()
                .map(|feature| (feature.name.to_string(), feature.r#type.clone()))
                .collect(),
            owner: format!("left group {}", group.id()),
            origin: SpineOrigin::LeftGroup(Arc::clone(group)),
            spine: Vec::new(),
            lookups: Vec::new(),
            columns: Vec::new(),
            timed: group.event_time().is_some(),
        };
        for name in &query.left.features {
            let feature = group.feature(name)?;
            builder.output_from_spine(name, feature.r#type.clone());
        }
        Ok(builder)
    }

    fn from_dataframe(
        query: &Query,
        left: &Arc<FeatureGroup>,
        schema: &Schema,
        event_time: Option<&str>,
    ) -> Result<Self> {
        let mut builder = Self {
            origin: SpineOrigin::Dataframe {
                event_time: event_time.map(str::to_owned),
            },
            available: Vec::with_capacity(schema.fields().len()),
            owner: "the dataframe".to_owned(),
            spine: Vec::new(),
            lookups: Vec::new(),
            columns: Vec::new(),
            timed: event_time.is_some(),
        };
        for field in schema.fields() {
            builder.add_dataframe_column(field)?;
        }
        if let Some(name) = event_time {
            let r#type = builder.available_type(name)?;
            if !r#type.is_event_time_type() {
                return Err(mismatch(name, r#type, "timestamp or date, as event time"));
            }
        }
        builder.look_up_left(query, left)?;
        Ok(builder)
    }

    fn add_dataframe_column(&mut self, field: &Field) -> Result<()> {
        let name = field.name();
        if name.starts_with('_') {
            return Err(TrainingError::query(format!(
                "dataframe column `{name}` begins with an underscore, which is kept for columns of the platform"
            )));
        }
        if self.available.iter().any(|(other, _)| other == name) {
            return Err(TrainingError::query(format!(
                "the dataframe has two columns `{name}`"
            )));
        }
        let r#type = feature_type_of(field)?;
        self.available.push((name.clone(), r#type.clone()));
        self.output_from_spine(name, r#type);
        Ok(())
    }

    /// Looks up the left group's features that the dataframe does not bring.
    fn look_up_left(&mut self, query: &Query, left: &Arc<FeatureGroup>) -> Result<()> {
        let mut features = Vec::new();
        for name in &query.left.features {
            let feature = left.feature(name)?;
            match self.available_type(name) {
                Ok(found) => {
                    coercion(name, found, &feature.r#type)?;
                }
                Err(_) => features.push(name.clone()),
            }
        }
        if features.is_empty() {
            return Ok(());
        }
        let wanted = Wanted {
            group: left,
            on: same_names(left),
            features: &features,
            prefix: "",
            kind: JoinKind::Left,
        };
        self.add_lookup(0, &wanted)
    }

    fn add_join(&mut self, source: usize, join: &Join, group: &Arc<FeatureGroup>) -> Result<()> {
        let on = if join.on.is_empty() {
            same_names(group)
        } else {
            join.on.clone()
        };
        let wanted = Wanted {
            group,
            on,
            features: &join.right.features,
            prefix: join.prefix.as_deref().unwrap_or_default(),
            kind: join.kind,
        };
        self.add_lookup(source, &wanted)
    }

    fn add_lookup(&mut self, source: usize, wanted: &Wanted<'_>) -> Result<()> {
        let Wanted {
            group,
            ref on,
            features,
            prefix,
            kind,
        } = *wanted;
        check_pairs(group, on)?;
        let keys = group
            .key_features()
            .map(|key| self.key_column(group, key, on))
            .collect::<Result<_>>()?;
        let mut renamed = Vec::with_capacity(features.len());
        for name in features {
            let feature = group.feature(name)?;
            let column = format!("{prefix}{name}");
            if self.columns.iter().any(|other| other.name == column) {
                return Err(TrainingError::query(format!(
                    "column `{column}` comes from two places; give one of the joins a prefix"
                )));
            }
            self.columns.push(Column {
                name: column.clone(),
                r#type: feature.r#type.clone(),
                from_spine: false,
            });
            renamed.push((name.clone(), column));
        }
        self.lookups.push(Lookup {
            source,
            timed: self.timed && group.event_time().is_some(),
            group: Arc::clone(group),
            keys,
            features: renamed,
            kind,
        });
        Ok(())
    }

    /// The spine column that holds `key`, added if the spine does not bring it yet.
    fn key_column(
        &mut self,
        group: &FeatureGroup,
        key: &Feature,
        on: &[(String, String)],
    ) -> Result<String> {
        let Some((left, _)) = on.iter().find(|(_, right)| right == key.name.as_str()) else {
            return Err(TrainingError::query(format!(
                "key feature `{}` of {} is not joined on; wanted one pair for each of its key features",
                key.name,
                group.id()
            )));
        };
        let found = self.available_type(left)?;
        match self.origin {
            // Two groups mean the same entity only if their schemas say so.
            SpineOrigin::LeftGroup(_) if *found != key.r#type => {
                let wanted = format!("{}, like key `{}` of {}", key.r#type, key.name, group.id());
                return Err(mismatch(left, found, &wanted));
            }
            SpineOrigin::LeftGroup(_) => {}
            SpineOrigin::Dataframe { .. } => {
                coercion(left, found, &key.r#type)?;
            }
        }
        Ok(self.bring(left, key.r#type.clone()))
    }

    fn available_type(&self, name: &str) -> Result<&FeatureType> {
        let found = self.available.iter().find(|(other, _)| other == name);
        found.map(|(_, r#type)| r#type).ok_or_else(|| {
            let known = self.available.iter().map(|(name, _)| name.clone());
            TrainingError::Model(Error::UnknownFeature {
                feature: name.to_owned(),
                owner: self.owner.clone(),
                known: known.collect(),
            })
        })
    }

    fn output_from_spine(&mut self, name: &str, r#type: FeatureType) {
        self.spine.push(SpineColumn {
            source: name.to_owned(),
            r#type: r#type.clone(),
            name: name.to_owned(),
        });
        self.columns.push(Column {
            name: name.to_owned(),
            r#type,
            from_spine: true,
        });
    }

    /// Makes the spine bring `source` as `type`, under a name of its own if it is not in the result.
    fn bring(&mut self, source: &str, r#type: FeatureType) -> String {
        let known = self
            .spine
            .iter()
            .find(|column| column.source == source && column.r#type == r#type);
        if let Some(column) = known {
            return column.name.clone();
        }
        let name = format!("{INTERNAL_PREFIX}{}_{source}", self.spine.len());
        self.spine.push(SpineColumn {
            source: source.to_owned(),
            r#type,
            name: name.clone(),
        });
        name
    }

    fn finish(mut self, query: &Query) -> Result<Plan> {
        if self.columns.is_empty() {
            return Err(TrainingError::query(
                "no feature is selected; wanted at least one",
            ));
        }
        if let SpineOrigin::LeftGroup(group) = self.origin.clone() {
            // Rows of the left group are told apart by their key.
            for key in group.key_features() {
                self.bring(key.name.as_str(), key.r#type.clone());
            }
        }
        let filter = query
            .filter
            .as_ref()
            .map(|filter| filter::checked(filter, &self.columns))
            .transpose()?;
        Ok(Plan {
            groups: query.groups().cloned().collect(),
            origin: self.origin,
            spine: self.spine,
            lookups: self.lookups,
            columns: self.columns,
            filter,
            defaults: BTreeMap::new(),
        })
    }
}

fn find_group<'a>(
    groups: &'a [Arc<FeatureGroup>],
    id: &FeatureGroupId,
) -> Result<&'a Arc<FeatureGroup>> {
    groups
        .iter()
        .find(|group| group.id() == id)
        .ok_or_else(|| TrainingError::InvalidSource {
            reason: format!("the definition of feature group {id} is missing"),
        })
}

/// Every pair names a key feature of the group, and none twice.
fn check_pairs(group: &FeatureGroup, on: &[(String, String)]) -> Result<()> {
    for (index, (_, right)) in on.iter().enumerate() {
        if !group.key_features().any(|key| key.name.as_str() == right) {
            let keys: Vec<&str> = group.key_features().map(|key| key.name.as_str()).collect();
            return Err(TrainingError::query(format!(
                "`{right}` is not a key feature of {}; its key is {}",
                group.id(),
                keys.join(", ")
            )));
        }
        if on[..index].iter().any(|(_, other)| other == right) {
            return Err(TrainingError::query(format!(
                "key feature `{right}` of {} is joined on twice",
                group.id()
            )));
        }
    }
    Ok(())
}

fn same_names(group: &FeatureGroup) -> Vec<(String, String)> {
    let pair = |key: &Feature| (key.name.to_string(), key.name.to_string());
    group.key_features().map(pair).collect()
}

fn mismatch(feature: &str, found: &FeatureType, wanted: &str) -> TrainingError {
    TrainingError::Model(Error::TypeMismatch {
        feature: feature.to_owned(),
        found: found.to_string(),
        wanted: wanted.to_owned(),
        row: None,
    })
}
