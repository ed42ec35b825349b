//! What to do about a group, and when. Pure: facts in, decision out.

use std::collections::HashMap;
use std::time::Duration;

use twinfold_model::{EventTime, FeatureGroup, FeatureGroupId, ResourceState};
use twinfold_store_metadata::GroupRecord;

/// One idempotent step from what is to what should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    CreateHistory,
    CreateOnlineTable,
    CreateTopic,
    Activate,
    DropTopic,
    DropOnlineTable,
    DropHistory,
    RemoveDefinition,
}

impl Step {
    pub fn describe(self) -> &'static str {
        match self {
            Self::CreateHistory => "create history table",
            Self::CreateOnlineTable => "create online table",
            Self::CreateTopic => "create topic",
            Self::Activate => "mark as active",
            Self::DropTopic => "drop topic",
            Self::DropOnlineTable => "drop online table",
            Self::DropHistory => "drop history table",
            Self::RemoveDefinition => "remove definition",
        }
    }
}

/// The steps that remain for a group, in order; all of them again after a failure or a crash.
///
/// Rows flow from the topic into the tables, so the tables come before it and go after it. The
/// definition goes last: while it is there, the work is not forgotten.
pub fn steps(group: &FeatureGroup, state: &ResourceState) -> Vec<Step> {
    match state {
        ResourceState::Active => Vec::new(),
        ResourceState::Creating | ResourceState::Failed { .. } => {
            let mut steps = vec![Step::CreateHistory];
            if group.online_enabled() {
                steps.push(Step::CreateOnlineTable);
            }
            steps.extend([Step::CreateTopic, Step::Activate]);
            steps
        }
        ResourceState::Deleting => vec![
            Step::DropTopic,
            Step::DropOnlineTable,
            Step::DropHistory,
            Step::RemoveDefinition,
        ],
    }
}

/// How long to wait after a failure before the next attempt.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    pub delay_min: Duration,
    pub delay_max: Duration,
}

impl Backoff {
    pub fn delay(self, failures: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        self.delay_min.saturating_mul(doubled).min(self.delay_max)
    }
}

/// What went wrong with groups so far. It is not stored: after a restart everything is tried at once.
#[derive(Debug, Default)]
pub struct Failures {
    by_group: HashMap<FeatureGroupId, Failure>,
}

#[derive(Debug)]
struct Failure {
    /// The task that failed. Another definition or a deletion is another task and waits for nothing.
    task: Task,
    count: u32,
    reason: String,
    failed_at: EventTime,
    delay: Duration,
}

#[derive(Debug, PartialEq, Eq)]
struct Task {
    revision: u64,
    is_deletion: bool,
}

fn task(record: &GroupRecord) -> Task {
    Task {
        revision: record.revision,
        is_deletion: record.state == ResourceState::Deleting,
    }
}

impl Failures {
    pub fn reason(&self, id: &FeatureGroupId) -> Option<&str> {
        self.by_group.get(id).map(|failure| failure.reason.as_str())
    }

    pub fn succeeded(&mut self, id: &FeatureGroupId) {
        self.by_group.remove(id);
    }

    pub fn failed(
        &mut self,
        record: &GroupRecord,
        reason: String,
        backoff: Backoff,
        now: EventTime,
    ) {
        let task = task(record);
        let before = self.by_group.get(record.group.id());
        let count = match before {
            Some(failure) if failure.task == task => failure.count.saturating_add(1),
            _ => 1,
        };
        let failure = Failure {
            task,
            count,
            reason,
            failed_at: now,
            delay: backoff.delay(count),
        };
        self.by_group.insert(record.group.id().clone(), failure);
    }

    /// How long the group still has to wait for its next attempt; nothing when it is due.
    pub fn wait(&self, record: &GroupRecord, now: EventTime) -> Duration {
        let Some(failure) = self.by_group.get(record.group.id()) else {
            return Duration::ZERO;
        };
        let waited_us = now.micros().saturating_sub(failure.failed_at.micros());
        // A clock that was set back must not stretch the wait.
        let Ok(waited_us) = u64::try_from(waited_us) else {
            return Duration::ZERO;
        };
        if failure.task != task(record) {
            return Duration::ZERO;
        }
        failure
            .delay
            .saturating_sub(Duration::from_micros(waited_us))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use twinfold_model::SchemaId;
    use twinfold_testkit::weather_group;

    use super::*;

    const BACKOFF: Backoff = Backoff {
        delay_min: Duration::from_millis(100),
        delay_max: Duration::from_secs(1),
    };

    fn at(millis: i64) -> EventTime {
        EventTime::from_micros(millis * 1_000)
    }

    fn record(state: ResourceState, revision: u64) -> GroupRecord {
        GroupRecord {
            group: weather_group(),
            state,
            resource: weather_group().id().resource_name(1),
            schema: SchemaId(1),
            revision,
            created_at: at(0),
        }
    }

    #[test]
    fn tables_come_before_the_topic_and_go_after_it() {
        let group = weather_group();
        let create = [
            Step::CreateHistory,
            Step::CreateOnlineTable,
            Step::CreateTopic,
            Step::Activate,
        ];
        let failed = ResourceState::Failed {
            reason: "disk full".to_owned(),
        };
        assert_eq!(steps(&group, &ResourceState::Creating), create);
        assert_eq!(steps(&group, &failed), create);
        assert_eq!(steps(&group, &ResourceState::Active), []);
        assert_eq!(
            steps(&group, &ResourceState::Deleting),
            [
                Step::DropTopic,
                Step::DropOnlineTable,
                Step::DropHistory,
                Step::RemoveDefinition
            ]
        );
    }

    #[test]
    fn an_offline_group_gets_no_online_table() {
        let mut spec = weather_group().to_spec();
        spec.online_enabled = false;
        let group = FeatureGroup::new(spec).expect("valid");
        let steps = steps(&group, &ResourceState::Creating);
        assert!(!steps.contains(&Step::CreateOnlineTable), "{steps:?}");
    }

    #[test]
    fn waits_double_up_to_a_limit_and_end_with_success() {
        let creating = record(ResourceState::Creating, 1);
        let mut failures = Failures::default();
        assert_eq!(failures.wait(&creating, at(0)), Duration::ZERO);
        for wanted_ms in [100, 200, 400, 800, 1_000, 1_000] {
            failures.failed(&creating, "disk full".to_owned(), BACKOFF, at(0));
            assert_eq!(failures.wait(&creating, at(0)).as_millis(), wanted_ms);
        }
        assert_eq!(failures.wait(&creating, at(900)).as_millis(), 100);
        assert_eq!(failures.wait(&creating, at(1_000)), Duration::ZERO);
        assert_eq!(
            failures.wait(&creating, at(-5)),
            Duration::ZERO,
            "clock set back"
        );
        failures.succeeded(creating.group.id());
        assert_eq!(failures.wait(&creating, at(0)), Duration::ZERO);
    }

    #[test]
    fn another_task_does_not_wait() {
        let mut failures = Failures::default();
        let creating = record(ResourceState::Creating, 1);
        failures.failed(&creating, "disk full".to_owned(), BACKOFF, at(0));
        let same = record(
            ResourceState::Failed {
                reason: String::new(),
            },
            1,
        );
        assert_eq!(failures.wait(&same, at(0)), BACKOFF.delay_min);
        let changed = record(ResourceState::Creating, 2);
        assert_eq!(failures.wait(&changed, at(0)), Duration::ZERO);
        let deleting = record(ResourceState::Deleting, 1);
        assert_eq!(failures.wait(&deleting, at(0)), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn waits_are_bounded(count in 1_u32..200, now: i64) {
            let creating = record(ResourceState::Creating, 1);
            let mut failures = Failures::default();
            for _ in 0..count {
                failures.failed(&creating, String::new(), BACKOFF, at(0));
            }
            let wait = failures.wait(&creating, EventTime::from_micros(now));
            prop_assert!(wait <= BACKOFF.delay_max);
        }
    }
}
