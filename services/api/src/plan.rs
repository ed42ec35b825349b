//! What a vector is made of: resolved once per view or dataset, pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use twinfold_client::{Error, GroupDefinition, Result};
use twinfold_model::{
    Error as ModelError, Feature, FeatureGroupId, FeatureType, Query, Selection, Value,
};
use twinfold_wire::row::KeyEncoder;

/// Where the parts of a vector come from.
#[derive(Debug)]
pub struct ServingPlan {
    /// Names and types of the entries of a vector, in order; labels are left out.
    pub features: Vec<(String, FeatureType)>,
    /// The keys that an entry must have.
    pub serving_keys: Vec<(String, FeatureType)>,
    pub groups: Vec<GroupPlan>,
    /// What stands in where a row is missing, by place in the vector.
    pub defaults: Vec<Value>,
    /// Places of the left group's features that an entry names, as a spine does: its values hold there,
    /// so that a vector has the key that its other features were looked up by.
    pub from_entry: Vec<usize>,
}

/// One group's share of a vector.
#[derive(Debug)]
pub struct GroupPlan {
    pub definition: Arc<GroupDefinition>,
    pub table: String,
    pub key_encoder: KeyEncoder,
    /// Names of the entry's values that make this group's key, in key order.
    pub key_names: Vec<String>,
    /// Features to decode.
    pub wanted: Vec<Feature>,
    /// For each wanted feature its place in the vector.
    pub places: Vec<usize>,
}

/// What a query takes from one group.
struct Wanted<'a> {
    definition: &'a Arc<GroupDefinition>,
    selection: &'a Selection,
    prefix: &'a str,
    /// Names of the entry's values that make the group's key, in key order.
    key_names: Vec<String>,
}

/// What holds for every column of the result, by its name there.
struct Columns<'a> {
    labels: &'a [String],
    defaults: &'a BTreeMap<String, Value>,
}

impl ServingPlan {
    /// Resolves a query; `definitions` holds one entry per group of the query, in its order.
    pub fn new(
        query: &Query,
        labels: &[String],
        defaults: &BTreeMap<String, Value>,
        definitions: &[Arc<GroupDefinition>],
    ) -> Result<Self> {
        query.output_names()?;
        let mut plan = Self {
            features: Vec::new(),
            serving_keys: Vec::new(),
            groups: Vec::new(),
            defaults: Vec::new(),
            from_entry: Vec::new(),
        };
        let find = |id: &FeatureGroupId| {
            let found = definitions
                .iter()
                .find(|definition| definition.group.id() == id);
            found.ok_or_else(|| Error::Internal(format!("feature group {id} was not resolved")))
        };
        let columns = Columns { labels, defaults };
        let left = find(&query.left.group)?;
        let left = Wanted {
            definition: left,
            selection: &query.left,
            prefix: "",
            key_names: entry_names(left, &[])?,
        };
        plan.add(left, &columns)?;
        let left_places = 0..plan.features.len();
        for join in &query.joins {
            let right = find(&join.right.group)?;
            let right = Wanted {
                definition: right,
                selection: &join.right,
                prefix: join.prefix.as_deref().unwrap_or_default(),
                key_names: entry_names(right, &join.on)?,
            };
            plan.add(right, &columns)?;
        }
        let is_named = |place: &usize| {
            let feature = &plan.features[*place].0;
            plan.serving_keys.iter().any(|(key, _)| key == feature)
        };
        plan.from_entry = left_places.filter(is_named).collect();
        Ok(plan)
    }

    fn add(&mut self, wanted: Wanted<'_>, columns: &Columns<'_>) -> Result<()> {
        let definition = wanted.definition;
        let group = &definition.group;
        let mut share = GroupPlan {
            definition: Arc::clone(definition),
            table: definition.resource.clone(),
            key_encoder: KeyEncoder::new(group),
            key_names: wanted.key_names,
            wanted: Vec::new(),
            places: Vec::new(),
        };
        for name in &wanted.selection.features {
            let output = format!("{}{name}", wanted.prefix);
            if columns.labels.contains(&output) {
                continue;
            }
            let feature = group.feature(name)?;
            let default = match columns.defaults.get(&output) {
                Some(value) => value.clone().coerced_to(&output, &feature.r#type)?,
                None => Value::Null,
            };
            share.places.push(self.features.len());
            share.wanted.push(feature.clone());
            self.features.push((output, feature.r#type.clone()));
            self.defaults.push(default);
        }
        // A group that only gives labels is not read, and its key is not asked for.
        if share.wanted.is_empty() {
            return Ok(());
        }
        if !group.online_enabled() {
            return Err(Error::Invalid(ModelError::InvalidQuery {
                reason: format!(
                    "feature group {} is not online, so it cannot be served",
                    group.id()
                ),
            }));
        }
        for (name, key) in share.key_names.iter().zip(group.key_features()) {
            self.add_serving_key(name, &key.r#type)?;
        }
        self.groups.push(share);
        Ok(())
    }

    fn add_serving_key(&mut self, name: &str, r#type: &FeatureType) -> Result<()> {
        match self.serving_keys.iter().find(|(known, _)| known == name) {
            None => self.serving_keys.push((name.to_owned(), r#type.clone())),
            Some((_, known)) if known == r#type => {}
            Some((_, known)) => {
                return Err(Error::Invalid(ModelError::InvalidQuery {
                    reason: format!(
                        "serving key `{name}` is {known} in one group and {type} in another"
                    ),
                }));
            }
        }
        Ok(())
    }
}

/// The names in an entry that make the right group's key, in key order: those of the key's features, unless
/// it is joined on others.
fn entry_names(right: &GroupDefinition, on: &[(String, String)]) -> Result<Vec<String>> {
    let keys = right.group.key_features().map(|key| key.name.as_str());
    if on.is_empty() {
        return Ok(keys.map(str::to_owned).collect());
    }
    keys.map(|key| {
        let pair = on.iter().find(|(_, right_name)| right_name == key);
        pair.map(|(left_name, _)| left_name.clone()).ok_or_else(|| {
            Error::Invalid(ModelError::InvalidQuery {
                reason: format!(
                    "the join with {} does not cover its key `{key}`",
                    right.group.id()
                ),
            })
        })
    })
    .collect()
}
