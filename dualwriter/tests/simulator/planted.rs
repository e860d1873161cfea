//! Faults planted into the real code on purpose: the simulator must notice each.

use std::time::{Duration, Instant};

use dualwriter::{Bug, plant};

use crate::directed;
use crate::world::{Size, run};

/// How long it may take to notice a planted fault.
const BOUND: Duration = Duration::from_secs(600);

/// Runs seeds until one is violated; returns its number.
fn notice(bug: Bug, size: Size) -> u64 {
    let started = Instant::now();
    plant(Some(bug));
    for seed in 0.. {
        if let Err(broken) = run(seed, size) {
            plant(None);
            let line = broken.lines().next().unwrap_or_default();
            println!(
                "{bug:?}: seed {seed}, {:.1} s: {line}",
                started.elapsed().as_secs_f64()
            );
            return seed;
        }
        assert!(
            started.elapsed() < BOUND,
            "{bug:?} is not noticed in {seed} seeds"
        );
    }
    unreachable!()
}

macro_rules! noticed {
    ($($name:ident: $bug:ident,)*) => {
        $(
            #[test]
            fn $name() {
                notice(Bug::$bug, Size::default());
            }
        )*
    };
}

noticed! {
    a_missing_fence: NoFence,
    a_change_without_a_drain: NoDrain,
    a_change_without_acknowledgement: NoAcknowledgement,
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
fn a_read_without_a_lease() {
    plant(Some(Bug::NoLease));
    directed::a_read_held_up_past_its_lease().unwrap_err();
}

#[test]
fn a_fallback_without_an_intent() {
    plant(Some(Bug::FallbackWithoutIntent));
    directed::a_get_beside_a_creation().unwrap_err();
}
