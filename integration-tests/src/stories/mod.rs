//! What a user lives through, told through the platform's interface alone. A story takes the
//! [`Way`](crate::Way) to run the platform; [`platform_stories!`](crate::platform_stories) makes a test of
//! each.

mod evolution;
mod history_upkeep;
mod lifecycle;
mod quarantine;
mod read_path;
mod shutdown;
mod time_travel;
mod training;
mod trips;
mod ttl;
mod views;
mod write_path;

use futures::future::LocalBoxFuture;

/// A story that is being told. Boxed: compiled here, and not by each test program.
pub type Telling = LocalBoxFuture<'static, ()>;

/// The stories, as test programs call them.
pub mod told {
    crate::platform_stories!(@all boxed);
}

/// Makes one test of each story. The argument is a variant of [`Way`](crate::Way).
#[macro_export]
macro_rules! platform_stories {
    ($way:ident) => {
        $crate::platform_stories!(@all tests $way);
    };
    (@all $($form:ident)+) => {
        $crate::platform_stories!(@$($form)+;
            evolution:
                a_group_gains_a_feature_while_rows_of_both_schemas_live;
            history_upkeep:
                a_history_of_many_small_inserts_is_merged_and_reads_the_same;
            lifecycle:
                groups_come_and_go_and_names_can_be_used_again,
                a_group_made_again_has_nothing_of_the_one_before,
                many_callers_creating_one_group_make_one_group;
            quarantine:
                poison_among_good_rows_is_listed_and_harms_nobody,
                a_row_from_the_future_is_quarantined_and_the_receipt_says_so,
                records_land_by_replay_once_their_schema_is_known,
                rows_from_the_future_land_by_replay_once_they_are_allowed,
                a_group_made_again_has_no_quarantine_of_the_one_before;
            read_path:
                a_vector_holds_the_newest_row_or_says_why_not,
                a_delete_hides_in_both_stores_and_a_later_row_returns;
            shutdown:
                an_end_in_the_middle_of_inserts_loses_and_doubles_nothing;
            time_travel:
                changes_lie_between_two_commits,
                an_earlier_commit_shows_what_was_known_then;
            training:
                a_training_dataset_stays_what_it_is_while_rows_come,
                a_training_dataset_is_dealt_into_splits_and_served;
            ttl:
                expired_rows_are_seen_by_no_reader_and_stay_in_history,
                a_vector_says_that_a_row_has_expired,
                a_row_of_the_past_expires_at_its_time;
            views:
                a_vector_is_put_together_from_several_groups,
                training_has_what_was_known_and_later_what_is_served;
            write_path:
                rows_reach_both_stores_once,
                late_rows_go_to_history_and_leave_the_newest_alone,
                rows_without_a_time_are_as_old_as_their_callers_say,
                a_restart_loses_and_doubles_nothing;
        );
    };
    (@boxed; $($module:ident: $($story:ident),+;)+) => {
        $(
            pub mod $module {
                $(
                    pub fn $story(way: $crate::Way) -> $crate::stories::Telling {
                        Box::pin($crate::stories::$module::$story(way))
                    }
                )+
            }
        )+
    };
    (@tests $way:ident; $($module:ident: $($story:ident),+;)+) => {
        $(
            mod $module {
                $(
                    #[tokio::test(flavor = "multi_thread")]
                    async fn $story() {
                        $crate::stories::told::$module::$story($crate::Way::$way).await;
                    }
                )+
            }
        )+
    };
}
