use std::sync::Arc;

use futures::FutureExt;
use futures::future::LocalBoxFuture;

use crate::fixture::run_case;
use crate::{Fixture, Harness, case};

/// The list of all cases, by the file that holds them. It stands here once: test modules, names
/// and functions are made from it.
#[doc(hidden)]
#[macro_export]
macro_rules! __cases {
    ($($callback:ident)::+, $($arguments:tt)*) => {
        $($callback)::+! { $($arguments)*;
            commit:
                one_outcome_per_transaction_in_order
                no_transactions_have_no_outcomes
                a_later_transaction_sees_an_earlier_one
                an_object_is_written_twice_in_one_call
                a_transaction_is_all_or_nothing
                neighbours_of_a_conflict_are_untouched
                writes_of_a_transaction_share_one_revision
                revisions_rise_strictly
                at_least_raises_the_revision
                at_least_below_the_newest_revision_changes_nothing
                a_raise_without_writes_raises_the_store
                a_conflict_raises_nothing
                an_empty_transaction_takes_no_revision
                a_check_takes_no_revision
                deleting_what_is_absent_takes_no_revision
                deletes_of_absent_objects_leave_no_record
                the_same_value_again_is_a_write
                kinds_tell_what_a_write_did
                the_operation_is_kept_with_every_revision
                the_time_is_the_clocks_or_the_transactions
                a_clock_that_goes_back_does_no_harm;
            precondition:
                every_precondition_in_every_state
                stale_update_conflicts
                stale_delete_conflicts
                a_second_create_conflicts
                a_deleted_object_is_absent
                a_revision_of_an_earlier_life_conflicts
                the_first_failing_write_is_reported
                a_check_guards_the_other_writes
                preconditions_see_earlier_transactions_of_the_call;
            read:
                a_missing_object_is_none
                the_newest_value_is_returned
                the_value_between_two_revisions_is_the_older_one
                a_deleted_object_is_absent_from_its_deletion_on
                every_revision_can_be_read_again
                reading_at_the_future_is_refused
                the_internal_group_has_no_old_revisions;
            list:
                items_are_in_key_order
                a_scope_lists_its_keys_and_no_others
                deleted_objects_are_not_listed
                a_list_at_a_revision_shows_that_revision
                a_list_has_the_revision_it_was_read_at
                listing_at_the_future_is_refused
                an_empty_store_has_empty_lists;
            paging:
                pages_end_by_count
                pages_end_by_bytes
                the_first_limit_ends_a_page
                empty_values_fill_no_page
                writes_between_pages_are_not_seen
                pages_at_a_revision_stay_there
                a_last_page_after_heavy_writes
                a_cursor_outlives_its_object
                pages_cross_namespaces_and_stop_at_the_scope
                a_cursor_of_another_list_is_refused
                a_cursor_of_the_future_is_refused
                a_cursor_between_two_objects_works;
            history:
                revisions_come_in_the_asked_order
                keys_ascend_in_both_orders
                history_has_deletions_and_earlier_lives
                writes_between_history_pages_are_not_seen
                history_pages_join
                a_history_page_ends_at_any_revision
                history_is_limited_to_its_scope
                a_history_list_takes_no_revision
                an_unknown_object_has_no_history;
            trash:
                a_deleted_object_is_in_the_trash
                creating_again_leaves_the_trash
                the_last_deletion_is_in_the_trash_once
                trash_follows_a_call_of_many_transactions
                trash_is_listed_by_scope_in_key_order
                trash_pages_skip_nothing_but_what_was_restored
                a_deletion_record_may_be_empty;
            changes:
                changes_are_in_order_and_each_once
                changes_start_after_the_given_revision
                nothing_follows_the_newest_revision
                a_limit_cuts_between_transactions
                a_limit_of_bytes_cuts_between_transactions
                a_scope_has_its_own_changes
                through_advances_while_the_scope_is_idle
                a_rare_change_is_found_behind_many_others
                each_change_has_the_value_before_it
                a_deletion_has_its_record
                changes_after_the_future_are_refused
                changes_reach_the_head;
            watch:
                a_watch_gets_every_change_once_in_order
                a_watch_starts_after_its_revision
                no_bookmark_falls_into_a_transaction
                a_watch_resumes_anywhere
                bookmarks_advance_while_the_scope_is_idle
                a_watch_is_limited_to_its_scope
                events_tell_what_happened
                a_waiting_watch_is_woken_by_each_commit
                a_watch_below_the_horizon_is_expired
                a_watch_that_cannot_be_is_refused
                an_unread_watch_slows_no_writer
                a_watch_overtaken_by_compaction_skips_nothing
                many_watches_get_all_of_theirs
                a_watch_joins_a_list;
            stats:
                objects_are_counted_per_namespace
                counts_follow_creations_and_deletions
                empty_namespaces_are_not_listed
                what_changes_nothing_does_not_count
                counts_are_exact_after_a_mixed_call
                one_object_and_the_internal_group_have_no_counts;
            compact:
                what_the_policy_keeps_is_kept
                changes_are_dropped_by_count
                changes_are_dropped_by_age
                young_changes_are_kept
                the_horizon_is_exact
                live_objects_are_never_dropped
                history_is_kept_by_number
                kept_history_is_readable_below_the_horizon
                reachable_history_is_kept_beyond_the_number
                trash_is_dropped_by_age
                a_deletion_that_a_watcher_may_still_read_is_kept
                what_was_deleted_stays_deleted_at_every_step
                steps_are_bounded
                the_horizon_never_goes_back
                a_dropped_object_is_created_anew
                writes_go_on_after_a_compaction
                control_records_are_not_compacted
                history_pages_go_on_after_a_compaction
                a_step_of_no_records_is_refused
                an_empty_store_has_nothing_to_compact;
            durable:
                a_backend_tells_what_it_is
                everything_survives_reopening
                a_compaction_survives_reopening
                revisions_never_go_back_after_reopening
                a_raise_survives_reopening
                a_cursor_survives_reopening
                a_store_is_opened_many_times
                opening_twice_does_what_is_declared;
            concurrent:
                of_many_creates_one_wins
                of_many_updates_one_wins
                of_many_deletes_one_wins
                updates_and_deletes_have_one_winner
                concurrent_calls_do_not_touch_each_other
                no_increment_is_lost
                opposite_orders_do_not_block_each_other
                the_head_covers_what_was_acknowledged
                an_acknowledged_write_is_seen_by_everyone
                a_dropped_commit_is_whole_or_not_at_all;
            beside:
                no_reader_sees_half_a_transaction
                pages_beside_writers_are_snapshots
                changes_beside_writers_are_complete
                counts_are_exact_beside_writers
                compaction_goes_on_beside_writers;
            handles:
                two_handles_see_the_same_store
                two_handles_have_one_order;
            internal:
                control_records_have_a_value_and_a_revision
                control_records_are_invisible
                control_records_have_no_past
                control_records_are_listed_by_name
                control_records_and_objects_share_transactions
                control_records_take_revisions
                only_the_internal_group_is_internal;
            limits:
                values_are_limited
                control_records_are_limited
                writes_per_transaction_are_limited
                transactions_per_call_are_limited
                bytes_per_call_are_limited
                a_key_occurs_once_in_a_transaction
                a_raise_is_limited
                limits_of_zero_are_refused
                malformed_scopes_are_refused
                pages_are_limited_by_count
                pages_are_limited_by_bytes
                the_longest_key_works;
            bytes:
                every_byte_comes_back
                an_empty_value_is_a_value
                text_is_not_touched
                sizes_around_page_borders_come_back
                values_change_size;
            keys:
                confusing_names_are_objects_of_their_own
                confusing_text_is_objects_of_their_own
                confusing_namespaces_are_scopes_of_their_own
                confusing_groups_and_resources_are_scopes_of_their_own
                order_is_part_by_part
                borders_between_parts_matter
                cluster_scoped_objects_have_a_scope_of_their_own;
            random:
                random_operations_agree_with_the_model;
        }
    };
}

/// Makes a module of that name with one `#[test]` per case, each on a new store of the harness,
/// an expression of a type that implements [`Harness`](crate::Harness).
#[macro_export]
macro_rules! suite {
    ($name:ident, $harness:expr) => {
        $crate::__cases! { $crate::__suite_tests, $name, $harness }
    };
}

/// Makes a module of that name with the suite in it several times: the backend `bare`, under
/// `group_commit`, and under all `layers` as a server stacks them.
#[macro_export]
macro_rules! suite_layered {
    ($name:ident, $harness:expr) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            $crate::suite!(bare, $harness);
            $crate::suite!(
                group_commit,
                $crate::Layered::new($harness, $crate::group_commit)
            );
            $crate::suite!(layers, $crate::Layered::new($harness, $crate::layers));
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __suite_tests {
    ($name:ident, $harness:expr; $($topic:ident: $($case:ident)*;)*) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            /// Stands here once: in each test it would be built as often as there are cases.
            fn __harness() -> std::sync::Arc<dyn $crate::Harness> {
                std::sync::Arc::new($harness)
            }

            $($(
                #[test]
                fn $case() {
                    $crate::run(&__harness(), stringify!($case));
                }
            )*)*
        }
    };
}

macro_rules! names {
    (; $($topic:ident: $($case:ident)*;)*) => {
        /// The names of all cases.
        pub const CASES: &[&str] = &[$($(stringify!($case)),*),*];
    };
}

macro_rules! table {
    (; $($topic:ident: $($case:ident)*;)*) => {
        const TABLE: &[(&str, Case)] = &[$($(
            (stringify!($case), |fixture| case::$topic::$case(fixture).boxed_local())
        ),*),*];
    };
}

type Case = fn(Fixture) -> LocalBoxFuture<'static, ()>;

__cases! { names, }
__cases! { table, }

/// Runs one case on a new store, on a runtime of its own, and removes the store afterwards.
///
/// # Panics
/// If the case fails, or does not exist.
pub fn run(harness: &Arc<dyn Harness>, name: &str) {
    let case = TABLE.iter().find(|(case, _)| *case == name);
    let (_, case) = case.unwrap_or_else(|| panic!("there is no case {name}"));
    run_case(harness, *case);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn cases_are_many_and_have_names_of_their_own() {
        let names: BTreeSet<&str> = CASES.iter().copied().collect();
        assert_eq!(names.len(), CASES.len(), "a name occurs twice");
        assert!(CASES.len() >= 80, "{} cases", CASES.len());
    }

    #[test]
    fn no_case_is_forgotten() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/case");
        let mut written = BTreeSet::new();
        for file in fs::read_dir(folder).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            let cases = text
                .lines()
                .filter_map(|line| line.strip_prefix("pub async fn "));
            written.extend(cases.filter_map(|line| Some(line.split_once('(')?.0.to_owned())));
        }
        let listed: BTreeSet<String> = CASES.iter().map(|case| (*case).to_owned()).collect();
        assert_eq!(written, listed);
    }
}
