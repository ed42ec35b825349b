use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use futures::future::try_join_all;
use twinfold_client::{
    Definitions, Entry, Error, Result, VectorOptions, VectorReader, check_passed,
};
use twinfold_model::{
    Error as ModelError, EventTime, FeatureType, FeatureVector, GroupPresence, Presence, SchemaId,
    Value,
};
use twinfold_service_kit::Clock;
use twinfold_store_online::{OnlineStore, StoredRow};
use twinfold_wire::row::{Projection, ValueView};

use crate::{GroupPlan, ServingPlan, store_failed};

/// Reads vectors through one plan.
#[derive(Debug)]
pub struct Vectors {
    plan: ServingPlan,
    store: Arc<dyn OnlineStore>,
    definitions: Arc<dyn Definitions>,
    clock: Arc<dyn Clock>,
    /// One per group: how to decode the rows of each writer schema. Compiled at first sight.
    projections: Vec<ArcSwap<HashMap<SchemaId, Arc<Projection>>>>,
}

impl Vectors {
    pub fn new(
        plan: ServingPlan,
        store: Arc<dyn OnlineStore>,
        definitions: Arc<dyn Definitions>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let projections = plan.groups.iter().map(|_| ArcSwap::default()).collect();
        Self {
            plan,
            store,
            definitions,
            clock,
            projections,
        }
    }

    /// The rows of one group for every entry; `None` where the entry brings all features itself.
    async fn fetch(
        &self,
        group: &GroupPlan,
        entries: &[Entry],
        passed: &[Entry],
    ) -> Result<Vec<Option<StoredRow>>> {
        let mut keys = Vec::with_capacity(entries.len());
        let mut rows_asked = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            match self.key(group, entry, index) {
                Ok(key) => {
                    keys.push(key);
                    rows_asked.push(index);
                }
                // Without its key a group can still be left out when nothing of it is needed.
                Err(error) if !self.all_passed(group, passed.get(index)) => return Err(error),
                Err(_) => {}
            }
        }
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let found = self.store.read(&group.table, &keys).await;
        let found = found.map_err(store_failed)?;
        let mut rows = vec![None; entries.len()];
        for (index, row) in rows_asked.into_iter().zip(found) {
            rows[index] = row;
        }
        Ok(rows)
    }

    fn all_passed(&self, group: &GroupPlan, passed: Option<&Entry>) -> bool {
        passed.is_some_and(|passed| {
            let mut places = group.places.iter();
            places.all(|place| passed.contains_key(&self.plan.features[*place].0))
        })
    }

    fn key(&self, group: &GroupPlan, entry: &Entry, index: usize) -> Result<Vec<u8>> {
        let mut values = Vec::with_capacity(group.key_names.len());
        for name in &group.key_names {
            match entry.get(name) {
                Some(value) if !value.is_null() => values.push(value.clone()),
                found => {
                    return Err(Error::Invalid(ModelError::TypeMismatch {
                        feature: name.clone(),
                        found: found.map_or("no value", |_| "null").to_owned(),
                        wanted: format!("the key of feature group {}", group.definition.group.id()),
                        row: Some(index as u64),
                    }));
                }
            }
        }
        let mut key = Vec::with_capacity(32);
        group.key_encoder.encode_values(&values, &mut key)?;
        Ok(key)
    }

    async fn projection(&self, place: usize, id: SchemaId) -> Result<Arc<Projection>> {
        let known = self.projections[place].load();
        if let Some(projection) = known.get(&id) {
            return Ok(Arc::clone(projection));
        }
        let group = &self.plan.groups[place];
        let schema = self
            .definitions
            .schema(id, &group.definition.resource)
            .await?
            .ok_or_else(|| Error::NotFound {
                what: "schema".into(),
                name: id.0.to_string(),
                hint: format!("; a row of {} names it", group.definition.group.id()),
            })?;
        let compiled = Projection::compile(&schema.avro_json, &group.wanted);
        let compiled = Arc::new(compiled.map_err(|error| Error::Internal(error.to_string()))?);
        self.projections[place].rcu(|known| {
            let mut known = HashMap::clone(known);
            known.insert(id, Arc::clone(&compiled));
            known
        });
        Ok(compiled)
    }

    /// Decodes one group's row into the places of a vector.
    async fn fill(
        &self,
        place: usize,
        row: Option<&StoredRow>,
        (now, options): (EventTime, VectorOptions),
        vector: &mut FeatureVector,
    ) -> Result<()> {
        let group = &self.plan.groups[place];
        let definition = &group.definition.group;
        let mut presence = match row {
            None => Presence::Missing,
            Some(row) => match definition.ttl() {
                Some(ttl) if ttl.is_expired(row.event_time, now) => Presence::Expired,
                _ => Presence::Present,
            },
        };
        if let (Presence::Present, Some(row)) = (presence, row) {
            match self.decode(place, row).await {
                Ok(values) => {
                    for (value, at) in values.into_iter().zip(&group.places) {
                        vector.values[*at] = value;
                    }
                }
                Err(error) if !options.allow_error => return Err(error),
                Err(error) => {
                    tracing::error!(feature_group = %definition.id(), %error, "a stored row cannot be read");
                    presence = Presence::Error;
                }
            }
        }
        if presence != Presence::Present {
            for at in &group.places {
                vector.values[*at] = self.plan.defaults[*at].clone();
            }
        }
        vector.groups.push(GroupPresence {
            group: definition.id().clone(),
            presence,
            event_time: row.map(|row| row.event_time),
        });
        Ok(())
    }

    async fn decode(&self, place: usize, row: &StoredRow) -> Result<Vec<Value>> {
        let broken = |defect| Error::Internal(format!("stored row: {defect}"));
        let view = ValueView::parse(&row.value).map_err(broken)?;
        let projection = self.projection(place, view.schema).await?;
        let mut values = Vec::with_capacity(self.plan.groups[place].wanted.len());
        projection.decode(view.body, &mut values).map_err(broken)?;
        Ok(values)
    }

    /// Puts the keys that the caller named where the left group's row has values of its own, or is missing.
    fn name_keys(&self, entry: &Entry, vector: &mut FeatureVector) -> Result<()> {
        for place in &self.plan.from_entry {
            let (name, wanted) = &self.plan.features[*place];
            if let Some(value) = entry.get(name) {
                vector.values[*place] = value.clone().coerced_to(name, wanted)?;
            }
        }
        Ok(())
    }

    /// Puts the features that the caller passed over those from the stores.
    fn override_with(&self, passed: &Entry, vector: &mut FeatureVector) -> Result<()> {
        for (name, value) in passed {
            let place = self
                .plan
                .features
                .iter()
                .position(|(known, _)| known == name);
            let place = place.ok_or_else(|| ModelError::UnknownFeature {
                feature: name.clone(),
                owner: "the feature vector".to_owned(),
                known: self
                    .plan
                    .features
                    .iter()
                    .map(|(known, _)| known.clone())
                    .collect(),
            })?;
            let wanted = &self.plan.features[place].1;
            vector.values[place] = value.clone().coerced_to(name, wanted)?;
        }
        Ok(())
    }

    fn require_presence(
        &self,
        entry: &Entry,
        passed: Option<&Entry>,
        vector: &FeatureVector,
    ) -> Result<()> {
        for (found, group) in vector.groups.iter().zip(&self.plan.groups) {
            if found.presence != Presence::Present && !self.all_passed(group, passed) {
                let describe = |name: &String| {
                    let value = entry
                        .get(name)
                        .map_or_else(|| "nothing".to_owned(), Value::describe);
                    format!("{name} = {value}")
                };
                let key: Vec<String> = group.key_names.iter().map(describe).collect();
                return Err(Error::MissingRow {
                    group: found.group.clone(),
                    key: key.join(", "),
                    presence: found.presence.as_str().into(),
                });
            }
        }
        Ok(())
    }
}

#[async_trait]
impl VectorReader for Vectors {
    fn features(&self) -> &[(String, FeatureType)] {
        &self.plan.features
    }

    fn serving_keys(&self) -> &[(String, FeatureType)] {
        &self.plan.serving_keys
    }

    async fn vectors(
        &self,
        entries: &[Entry],
        passed: &[Entry],
        options: VectorOptions,
    ) -> Result<Vec<FeatureVector>> {
        check_passed(entries, passed)?;
        let groups = &self.plan.groups;
        let fetches = groups
            .iter()
            .map(|group| self.fetch(group, entries, passed));
        let rows = try_join_all(fetches).await?;
        let now = EventTime::from_micros(self.clock.now_us());
        let mut vectors = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            let mut vector = FeatureVector {
                values: vec![Value::Null; self.plan.features.len()],
                groups: Vec::with_capacity(groups.len()),
            };
            for (place, found) in rows.iter().enumerate() {
                self.fill(place, found[index].as_ref(), (now, options), &mut vector)
                    .await?;
            }
            self.name_keys(entry, &mut vector)?;
            if let Some(passed) = passed.get(index) {
                self.override_with(passed, &mut vector)?;
            }
            if !options.allow_missing {
                self.require_presence(entry, passed.get(index), &vector)?;
            }
            vectors.push(vector);
        }
        Ok(vectors)
    }
}
