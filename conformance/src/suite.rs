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

#[doc(hidden)]
#[macro_export]
macro_rules! __suite_tests {
    ($name:ident, $harness:expr; $($topic:ident: $($case:ident)*;)*) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            $($(
                #[test]
                fn $case() {
                    $crate::run($harness, stringify!($case));
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
pub fn run(harness: impl Harness, name: &str) {
    let case = TABLE.iter().find(|(case, _)| *case == name);
    let (_, case) = case.unwrap_or_else(|| panic!("there is no case {name}"));
    let harness: Arc<dyn Harness> = Arc::new(harness);
    run_case(&harness, *case);
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
        assert!(CASES.len() >= 40, "{} cases", CASES.len());
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
