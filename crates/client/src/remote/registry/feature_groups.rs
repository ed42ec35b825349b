use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Method;
use tracing::debug;
use twinfold_model::{
    Feature, FeatureGroup, FeatureGroupId, GroupDescription, ProjectName, ResourceState,
};
use twinfold_wire::rest::{
    FeatureBody, FeatureGroupBody, GroupDescriptionBody, GroupRecordBody, SchemaBody,
};

use super::{PAUSE, RemoteRegistry, WAIT, definition, path, writer_schema};
use crate::definitions::{deleted_meanwhile, not_ready};
use crate::known::PATIENCE;
use crate::remote::preconditions::tied;
use crate::{
    Definitions as _, Deletion, Error, Expected, FeatureGroups, GroupDefinition, Result,
    WriterSchema,
};

#[async_trait]
impl FeatureGroups for RemoteRegistry {
    async fn create_feature_group(
        &self,
        group: &FeatureGroup,
        wait: Duration,
    ) -> Result<Arc<GroupDefinition>> {
        let body = FeatureGroupBody::from(group);
        let stored = self.registry.create(path::FEATURE_GROUPS, &body).await?;
        self.active(stored, wait).await
    }

    async fn feature_group(&self, id: &FeatureGroupId) -> Result<Arc<GroupDefinition>> {
        let request = self.registry.request(Method::GET, &path::group(id, ""));
        let answer = self.registry.read(request.timeout(PATIENCE)).await;
        match answer.and_then(definition) {
            Ok(found) => {
                self.known.compare(id, Some(&found));
                Ok(Arc::new(found))
            }
            Err(error) if error.retry() => self.known_group(id).await,
            Err(error) => {
                if matches!(error, Error::NotFound { .. }) {
                    self.known.compare(id, None);
                }
                Err(error)
            }
        }
    }

    async fn newest_feature_group(
        &self,
        project: &ProjectName,
        name: &str,
    ) -> Result<Arc<GroupDefinition>> {
        let path = path::named_in(project, path::FEATURE_GROUPS, "feature group", name)?;
        Ok(Arc::new(definition(self.registry.get(&path).await?)?))
    }

    async fn append_features(
        &self,
        id: &FeatureGroupId,
        features: Vec<Feature>,
        expected: &Expected,
        wait: Duration,
    ) -> Result<Arc<GroupDefinition>> {
        let bodies: Vec<_> = features.iter().map(FeatureBody::from).collect();
        let path = path::group(id, "features");
        let stored = self.registry.create_tied(&path, &bodies, expected).await?;
        self.active(stored, wait).await
    }

    async fn describe_feature_group(
        &self,
        id: &FeatureGroupId,
        description: &GroupDescription,
        expected: &Expected,
    ) -> Result<Arc<GroupDefinition>> {
        let body = GroupDescriptionBody::from(description);
        let path = path::group(id, "");
        let request = tied(self.registry.request(Method::PATCH, &path), expected);
        let described = self.registry.read(request.json(&body)).await;
        let described = described.and_then(definition);
        self.forget_groups();
        described.map(Arc::new)
    }

    async fn delete_feature_group(
        &self,
        id: &FeatureGroupId,
        deletion: Deletion,
        expected: &Expected,
        wait: Duration,
    ) -> Result<()> {
        let life = definition(self.registry.get(&path::group(id, "")).await?)?.resource;
        let path = path::group_deletion(id, deletion);
        let request = tied(self.registry.request(Method::DELETE, &path), expected);
        self.registry.answer(request).await?;
        let is_gone = |found: Option<GroupDefinition>| match found {
            Some(definition) if definition.resource == life => Look::Again(definition.state),
            _ => Look::Done(()),
        };
        self.look(id, wait, is_gone).await
    }

    async fn schemas(&self, id: &FeatureGroupId) -> Result<Vec<WriterSchema>> {
        let bodies: Vec<SchemaBody> = self.registry.get(&path::group(id, "schemas")).await?;
        Ok(bodies.into_iter().map(writer_schema).collect())
    }
}

/// What a look at a group says.
enum Look<T> {
    Done(T),
    /// It is on its way.
    Again(ResourceState),
}

impl RemoteRegistry {
    /// Returns when topic and tables are what the stored definition says.
    async fn active(
        &self,
        stored: GroupRecordBody,
        wait: Duration,
    ) -> Result<Arc<GroupDefinition>> {
        let stored = definition(stored)?;
        let id = stored.group.id();
        let is_active = |found: Option<GroupDefinition>| match found {
            Some(found) if found.resource == stored.resource => match found.state {
                ResourceState::Active => Look::Done(Ok(Arc::new(found))),
                ResourceState::Deleting => Look::Done(Err(not_ready(id, &found.state))),
                state => Look::Again(state),
            },
            _ => Look::Done(Err(deleted_meanwhile(id))),
        };
        self.look(id, wait, is_active).await?
    }

    /// Looks at a group with every change that the feed brings. A registry that does not answer for a
    /// while is asked again: what it has stored it will do.
    async fn look<T>(
        &self,
        id: &FeatureGroupId,
        wait: Duration,
        look: impl Fn(Option<GroupDefinition>) -> Look<T> + Send + Sync,
    ) -> Result<T>
    where
        T: Send,
    {
        let mut last = ResourceState::Creating;
        let looking = async {
            loop {
                // Before the group, so that no change after it is missed.
                let outcome = match self.newest_change(0, Duration::ZERO).await {
                    Ok(seen) => self.find(id).await.map(|found| (seen, found)),
                    Err(error) => Err(error),
                };
                let asked = match outcome.map(|(seen, found)| (seen, look(found))) {
                    Ok((_, Look::Done(answer))) => return Ok(answer),
                    Ok((seen, Look::Again(state))) => {
                        last = state;
                        self.newest_change(seen, WAIT).await.map(drop)
                    }
                    Err(error) => Err(error),
                };
                match asked {
                    Ok(()) => {}
                    Err(error) if error.retry() => {
                        debug!(feature_group = %id, %error, "the registry does not answer");
                        tokio::time::sleep(PAUSE).await;
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let looked = tokio::time::timeout(wait, looking).await;
        self.forget_groups();
        looked.unwrap_or_else(|_| Err(not_ready(id, &last)))
    }

    async fn find(&self, id: &FeatureGroupId) -> Result<Option<GroupDefinition>> {
        match self.registry.get(&path::group(id, "")).await {
            Ok(body) => definition(body).map(Some),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
