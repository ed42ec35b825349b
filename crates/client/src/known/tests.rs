use twinfold_model::ResourceState;
use twinfold_testkit::weather_group;

use super::*;

fn definition(life: u32) -> GroupDefinition {
    let group = weather_group();
    GroupDefinition {
        resource: group.id().resource_name(life),
        group,
        state: ResourceState::Active,
        schema: SchemaId(1),
    }
}

fn schema(id: u32) -> WriterSchema {
    WriterSchema {
        id: SchemaId(id),
        avro_json: "\"int\"".to_owned(),
    }
}

/// What is known at a sequence, and whether it was read for that.
async fn at(
    known: &KnownDefinitions,
    sequence: u64,
    groups: Vec<GroupDefinition>,
) -> (Vec<Arc<GroupDefinition>>, bool) {
    let mut is_read = false;
    let read = async {
        is_read = true;
        Ok(groups)
    };
    let found = known.groups(sequence, read).await.expect("readable");
    (found.ordered(), is_read)
}

#[tokio::test]
async fn groups_are_read_once_for_each_sequence() {
    let known = KnownDefinitions::default();
    let (first, is_read) = at(&known, 1, vec![definition(1)]).await;
    assert!(is_read);
    let (again, is_read) = at(&known, 1, Vec::new()).await;
    assert!(!is_read);
    assert_eq!(again, first);
    let (moved, is_read) = at(&known, 2, Vec::new()).await;
    assert!(is_read && moved.is_empty());
    known.forget_groups();
    let (_, is_read) = at(&known, 2, Vec::new()).await;
    assert!(is_read);
}

#[tokio::test]
async fn groups_are_read_again_when_one_is_another() {
    let known = KnownDefinitions::default();
    let (old, new) = (definition(1), definition(2));
    let id = old.group.id();
    known.compare(id, Some(&old));
    at(&known, 1, vec![old.clone()]).await;
    known.compare(id, Some(&old));
    let (_, is_read) = at(&known, 1, Vec::new()).await;
    assert!(!is_read);
    for found in [Some(&new), None] {
        known.compare(id, found);
        let (_, is_read) = at(&known, 1, vec![old.clone()]).await;
        assert!(is_read, "{found:?}");
    }
}

#[tokio::test]
async fn groups_are_no_older_than_a_schema_that_was_asked_for() {
    let known = KnownDefinitions::default();
    let (one, resource) = (vec![definition(1)], definition(1).resource);
    at(&known, 1, one.clone()).await;
    known.remember_schema(&resource, schema(1));
    let (_, is_read) = at(&known, 1, one.clone()).await;
    assert!(!is_read, "it is the group's own");
    known.remember_schema(&resource, schema(2));
    let (_, is_read) = at(&known, 1, one).await;
    assert!(is_read);
}

#[tokio::test]
async fn what_was_forgotten_while_it_was_read_is_read_again() {
    let known = KnownDefinitions::default();
    let read = async {
        known.forget_groups();
        Ok(vec![definition(1)])
    };
    known.groups(1, read).await.expect("readable");
    let (_, is_read) = at(&known, 1, Vec::new()).await;
    assert!(is_read);
}

#[tokio::test]
async fn a_failure_to_read_is_not_remembered() {
    let known = KnownDefinitions::default();
    let failing = async { Err(crate::Error::Closed) };
    assert!(known.groups(1, failing).await.is_err());
    let (_, is_read) = at(&known, 1, Vec::new()).await;
    assert!(is_read);
}

async fn unread() -> Result<Vec<GroupDefinition>> {
    Err(Error::dependency("registry", true, "connection refused"))
}

#[tokio::test]
async fn older_groups_are_for_who_may_act_on_them() {
    let known = KnownDefinitions::default();
    assert!(known.groups_or_older(1, unread()).await.is_err());
    let (first, _) = at(&known, 1, vec![definition(1)]).await;
    known.forget_groups();
    for sequence in [1, 2] {
        let older = known.groups_or_older(sequence, unread()).await;
        assert_eq!(older.expect("known").ordered(), first);
        let strict = known.groups(sequence, unread()).await;
        let error = strict.expect_err("not read");
        assert_eq!(error.to_string(), "registry: connection refused");
    }
    let refused = async { Err(Error::Closed) };
    assert!(known.groups_or_older(2, refused).await.is_err());
}

#[tokio::test]
async fn older_groups_are_given_while_nobody_answers() {
    let known = KnownDefinitions::default();
    let (first, _) = at(&known, 1, vec![definition(1)]).await;
    let silent = std::future::pending();
    let older = known.groups_or_older_within(Duration::ZERO, 2, silent);
    assert_eq!(older.await.expect("known").ordered(), first);
}

#[tokio::test]
async fn who_waits_for_a_reading_that_fails_asks_no_more() {
    let known = KnownDefinitions::default();
    let failing = async {
        tokio::task::yield_now().await;
        unread().await
    };
    let mut is_read = false;
    let reading = async {
        is_read = true;
        Ok(Vec::new())
    };
    let (first, second) = tokio::join!(known.groups(1, failing), known.groups(1, reading));
    for failed in [first, second] {
        let error = failed.expect_err("not read");
        assert_eq!(error.to_string(), "registry: connection refused");
    }
    assert!(!is_read);
    let (_, is_read) = at(&known, 1, Vec::new()).await;
    assert!(is_read, "who comes later asks again");
}

#[tokio::test]
async fn schemas_go_with_their_group() {
    let known = KnownDefinitions::default();
    let resources = [1, 2].map(|life| definition(life).resource);
    for resource in &resources {
        known.remember_schema(resource, schema(1));
    }
    let remembered = || {
        let found = resources
            .each_ref()
            .map(|name| known.schema(SchemaId(1), name));
        found.map(|schema| schema.is_some())
    };
    assert_eq!(remembered(), [true, true]);
    at(&known, 1, vec![definition(2)]).await;
    assert_eq!(remembered(), [false, true]);
    assert!(known.schema(SchemaId(2), &resources[1]).is_none());
    at(&known, 2, Vec::new()).await;
    assert_eq!(remembered(), [false, false]);
}
