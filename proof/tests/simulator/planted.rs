//! Faults planted into the real code on purpose: the simulator must notice each.

use dualwriter::{Bug, plant};

use crate::directed;
use crate::seeds::{Range, Until};

/// How many seeds it may take to notice a planted fault: less than a minute on two idle cores.
const SEEDS: u64 = 20_000;

/// Runs seeds until one is violated.
fn notice(bug: Bug) {
    let range = Range {
        first: 0,
        until: Until::Seeds(SEEDS),
    };
    let done = range.run(&|| plant(Some(bug)));
    let Some((seed, broken)) = done.broken else {
        panic!("{bug:?} is not noticed in {} seeds", done.seeds);
    };
    let line = broken.lines().next().unwrap_or_default();
    let seconds = done.elapsed.as_secs_f64();
    println!("{bug:?}: seed {seed}, {seconds:.1} s: {line}");
}

macro_rules! noticed {
    ($($name:ident: $bug:ident,)*) => {
        $(
            #[test]
            fn $name() {
                notice(Bug::$bug);
            }
        )*
    };
}

noticed! {
    a_missing_fence: NoFence,
    a_change_without_a_drain: NoDrain,
    a_change_without_acknowledgement: NoAcknowledgement,
    a_read_without_a_lease: NoLease,
    a_fallback_without_an_intent: FallbackWithoutIntent,
    a_sync_without_a_second_look: SyncWithoutReread,
    a_recovery_that_rolls_back: RecoveryRollsBack,
    an_answer_before_the_apply: AnswerBeforeApply,
    an_apply_without_its_intent: ApplyWithoutIntent,
    a_write_without_a_guard: NoEpochCheck,
    a_change_of_side_without_a_raise: NoRaise,
    a_reverse_sync_without_its_end: NoReverseDelta,
    a_definite_error_in_doubt: DefiniteInDoubt,
}

#[test]
fn a_read_without_a_lease_as_directed() {
    plant(Some(Bug::NoLease));
    directed::a_read_held_up_past_its_lease().unwrap_err();
}

#[test]
fn a_fallback_without_an_intent_as_directed() {
    plant(Some(Bug::FallbackWithoutIntent));
    directed::a_get_beside_a_creation().unwrap_err();
}
