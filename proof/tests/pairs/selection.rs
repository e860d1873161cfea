use crate::pair::{Legacy, Unified};

/// Cases whose outcome depends most on the engine.
const OF_EVERY_PAIR: [&str; 12] = [
    "an_object_is_written_twice_in_one_call",
    "neighbours_of_a_conflict_are_untouched",
    "a_raise_without_writes_raises_the_store",
    "preconditions_see_earlier_transactions_of_the_call",
    "the_value_between_two_revisions_is_the_older_one",
    "writes_between_pages_are_not_seen",
    "trash_follows_a_call_of_many_transactions",
    "each_change_has_the_value_before_it",
    "a_watch_gets_every_change_once_in_order",
    "everything_survives_reopening",
    "opening_twice_does_what_is_declared",
    "of_many_updates_one_wins",
];

/// Tells whether a case runs when nobody asks for all of them.
pub(crate) fn runs_always(case: &str, legacy: Legacy, unified: Unified) -> bool {
    match (legacy, unified) {
        (Legacy::Sqlite, Unified::Redb) | (Legacy::Memory, Unified::Sled) => true,
        _ => OF_EVERY_PAIR.contains(&case),
    }
}
