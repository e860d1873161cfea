//! A model of the protocol, explored exhaustively: one object, two processes, writers, readers,
//! syncs, a recovery, faults and crashes at every step, modes 2 to 4.
//!
//! The properties hold; with one part of the protocol removed, each breaks. The number of states
//! is asserted, so that a model that stopped exploring is noticed. `UNISTORE_MODEL=large` explores
//! some 150 million states more and takes up to 20 GB.
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

mod protocol;

use stateright::{Checker, Model};

use crate::protocol::{Op, Processes, Protocol, Without};

/// Explores everything; returns the number of states and, by property, the steps that break it.
fn explore(protocol: Protocol) -> (usize, Vec<(&'static str, usize)>) {
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    let mut broken: Vec<(&'static str, usize)> = checker
        .discoveries()
        .into_iter()
        .map(|(property, path)| {
            let steps = path.into_actions();
            println!("{property} is broken in {} steps: {steps:?}", steps.len());
            (property, steps.len())
        })
        .collect();
    broken.sort_unstable();
    (checker.unique_state_count(), broken)
}

fn protocol() -> Protocol {
    Protocol {
        without: Without::Nothing,
        processes: Processes::Alike,
        programs: vec![],
        initial: (None, None),
        faults: 1,
        crashes: 1,
        syncers: 1,
        recoveries: 1,
        strict: false,
    }
}

#[track_caller]
fn holds(protocol: Protocol, states: usize) {
    let (explored, broken) = explore(protocol);
    assert_eq!(broken, [], "after {explored} states");
    assert_eq!(
        explored, states,
        "the model changed: so many states are new to this test"
    );
}

#[track_caller]
fn breaks(protocol: Protocol) {
    let (explored, broken) = explore(protocol);
    println!("{explored} states");
    assert!(!broken.is_empty(), "nothing broke in {explored} states");
}

#[test]
fn definite_errors_have_no_effect() {
    holds(
        Protocol {
            strict: true,
            programs: vec![vec![Op::Create(1), Op::Update(2)], vec![Op::Delete]],
            ..protocol()
        },
        749_525,
    );
}

#[test]
fn lagging_processes_do_no_harm() {
    holds(
        Protocol {
            processes: Processes::Lagging,
            initial: (Some(0), None),
            programs: vec![vec![Op::Update(2), Op::Delete], vec![Op::Get, Op::Get]],
            ..protocol()
        },
        921_305,
    );
}

#[test]
fn two_recoveries_do_no_harm() {
    holds(
        Protocol {
            recoveries: 2,
            syncers: 0,
            initial: (Some(0), Some(0)),
            programs: vec![vec![Op::Delete, Op::Create(1)], vec![Op::Update(2)]],
            ..protocol()
        },
        1_821_061,
    );
}

#[test]
fn two_syncs_and_more_faults_do_no_harm() {
    if std::env::var("UNISTORE_MODEL").as_deref() != Ok("large") {
        // The small one, so that this is never without an answer.
        let programs = vec![vec![Op::Update(2)], vec![Op::Delete]];
        let small = Protocol {
            initial: (Some(0), None),
            syncers: 2,
            programs,
            ..protocol()
        };
        let (explored, broken) = explore(small);
        assert_eq!(broken, []);
        assert!(explored > 50_000, "{explored} states");
        return;
    }
    let readers = vec![vec![Op::Update(2), Op::Delete], vec![Op::Get, Op::List]];
    holds(
        Protocol {
            initial: (Some(0), None),
            syncers: 2,
            programs: readers,
            ..protocol()
        },
        7_991_389,
    );
    let lagging = Protocol {
        processes: Processes::Lagging,
        initial: (Some(0), None),
        syncers: 2,
        faults: 2,
        crashes: 2,
        ..protocol()
    };
    let writers = vec![vec![Op::Update(1)], vec![Op::Delete, Op::Create(2)]];
    holds(
        Protocol {
            programs: writers,
            ..lagging
        },
        13_053_309,
    );
    let all = vec![
        vec![Op::Update(1)],
        vec![Op::Delete],
        vec![Op::Get, Op::List],
    ];
    holds(
        Protocol {
            programs: all,
            ..lagging
        },
        132_376_782,
    );
}

#[test]
fn without_the_fence_it_breaks() {
    breaks(Protocol {
        without: Without::Fence,
        initial: (Some(0), Some(0)),
        programs: vec![vec![Op::Update(1)], vec![Op::Update(2)]],
        ..protocol()
    });
}

#[test]
fn without_a_second_look_at_the_intent_it_breaks() {
    breaks(Protocol {
        without: Without::SecondLook,
        initial: (Some(0), Some(0)),
        programs: vec![vec![Op::Update(1)], vec![Op::Update(2), Op::Update(3)]],
        ..protocol()
    });
}

/// Found by this model: an owner's creation came between the reading of a recovery and its redo.
#[test]
fn with_a_refusal_of_what_was_not_read_it_breaks() {
    breaks(Protocol {
        without: Without::RefusalAsRead,
        programs: vec![vec![Op::Create(1), Op::Update(2)], vec![Op::Delete]],
        ..protocol()
    });
}

#[test]
fn without_the_mode_barrier_it_breaks() {
    breaks(Protocol {
        without: Without::Barrier,
        initial: (Some(0), Some(0)),
        programs: vec![vec![Op::Update(2)], vec![Op::Get, Op::Get]],
        ..protocol()
    });
}

#[test]
fn without_intent_aware_reads_it_breaks() {
    breaks(Protocol {
        without: Without::IntentAwareReads,
        processes: Processes::Lagging,
        initial: (Some(0), None),
        programs: vec![vec![Op::Update(2), Op::Delete], vec![Op::Get, Op::Get]],
        ..protocol()
    });
}

#[test]
fn without_the_tombstone_aware_fallback_it_breaks() {
    breaks(Protocol {
        without: Without::TombstoneAwareFallback,
        processes: Processes::Lagging,
        initial: (Some(0), Some(0)),
        programs: vec![vec![Op::Delete], vec![Op::Get, Op::Get]],
        ..protocol()
    });
}
