//! What a change of mode, another request for it, or another sync overtakes.

use std::sync::Arc;
use std::time::Duration;

use conformance::step::key;
use conformance::{Fault, Faults, Gate, Operation};
use dualwriter::{DualWriter, Forced, Gate as ModeGate, Kind, Mode, Options, TransitionError};
use storage_core::{Memory, Precondition, StorageBackend, StorageBackendExt, Transaction};

use crate::rig::{Backend, open, open_faulty, options};

fn process(mode: Mode) -> Options {
    Options {
        lease: Duration::from_millis(200),
        help_after: Duration::from_millis(1),
        ..options(mode)
    }
}

fn stores() -> (Backend, Backend) {
    (Arc::new(Memory::new()), Arc::new(Memory::new()))
}

fn kind() -> Kind {
    Kind::of(&key("a"))
}

fn put(value: &'static str) -> Transaction {
    Transaction::put(key("a"), Precondition::Any, value)
}

/// A dual writer whose calls to its stores can be held up.
async fn slow(legacy: &Backend, unified: &Backend, mode: Mode) -> (Arc<DualWriter>, [Faults; 2]) {
    let (dual, faults) = open_faulty(legacy, unified, process(mode)).await;
    dual.status(&kind()).await.unwrap();
    (dual, faults)
}

/// A read of mode 3 brought over what only legacy had while the mode changed to 5, where nobody
/// looks for copies: what was written there was replaced by what legacy had.
#[tokio::test(start_paused = true)]
async fn a_copy_that_is_late_for_mode_5_does_nothing() {
    let mut both = 0;
    for step in 0.. {
        let mut call = 0;
        while let Some(held) = copy_beside_a_change(step, call).await {
            both += usize::from(held == Held::Both);
            call += 1;
        }
        if call == 0 {
            break;
        }
    }
    assert!(
        both > 3,
        "a copy was held up beside a change only {both} times"
    );
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Change,
    Both,
}

/// Holds a change before one of its commits, and a read that begins then before one of its own; none
/// if there is no such commit.
async fn copy_beside_a_change(step: u64, call: u64) -> Option<Held> {
    const CALLS_MAX: u64 = 5;
    if call == CALLS_MAX {
        return None;
    }
    let (legacy, unified) = stores();
    legacy.create(key("a"), "old".into()).await.unwrap();
    let (operator, [_, changes]) = slow(&legacy, &unified, Mode::Three).await;
    let (reader, [_, copies]) = slow(&legacy, &unified, Mode::Three).await;
    let change = Gate::default();
    changes.after(step, Operation::Commit, Fault::HoldBefore(change.clone()));
    let mut changing = tokio::spawn({
        let operator = Arc::clone(&operator);
        async move { operator.set_mode(&kind(), Mode::Five, Forced::No).await }
    });
    tokio::select! {
        () = change.reached() => {}
        changed = &mut changing => {
            changed.unwrap().unwrap();
            return None;
        }
    }
    let copy = Gate::default();
    copies.after(call, Operation::Commit, Fault::HoldBefore(copy.clone()));
    let mut reading = tokio::spawn({
        let reader = Arc::clone(&reader);
        async move { reader.get(&key("a"), None).await.is_ok() }
    });
    let held = tokio::select! {
        () = copy.reached() => Held::Both,
        _ = &mut reading => Held::Change,
    };
    change.release();
    changing.await.unwrap().unwrap();
    operator.commit_one(put("new")).await.unwrap();
    copy.release();
    if held == Held::Both {
        reading.await.unwrap();
    }
    let now = operator.get(&key("a"), None).await.unwrap().unwrap();
    assert_eq!(
        now.value, "new",
        "commit {step} of the change, {call} of the read"
    );
    Some(held)
}

/// Of two requests for the way down one came late, and changed mode 3 to mode 3: with that legacy,
/// which missed what was written since it was left, became the truth.
#[tokio::test(start_paused = true)]
async fn a_change_that_another_one_made_already_is_none() {
    let (legacy, unified) = stores();
    let (late, [hold, _]) = slow(&legacy, &unified, Mode::Four).await;
    let other = open(&legacy, &unified, process(Mode::Four)).await;
    other.commit_one(put("1")).await.unwrap();
    let gate = hold.hold_next(Operation::Commit);
    let changing = tokio::spawn({
        let late = Arc::clone(&late);
        async move {
            late.set_mode(&kind(), Mode::Three, Forced::AcceptLoss)
                .await
        }
    });
    gate.reached().await;
    let kind = kind();
    let down = other.set_mode(&kind, Mode::Three, Forced::AcceptLoss).await;
    down.unwrap();
    gate.release();
    changing.await.unwrap().unwrap();
    let refused = other.set_mode(&kind, Mode::Two, Forced::No).await;
    let Err(TransitionError::Refused(refusal)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(refusal.gate, ModeGate::ReverseSync);
    other.sync(&kind, &mut |_| {}).await.unwrap();
    for store in [&legacy, &unified] {
        assert!(store.get(&key("a"), None).await.unwrap().is_some());
    }
}

/// A sync was under way while the mode was changed by the mark of an earlier one. It failed, as it
/// must, but also cleared the mark, and the change was refused.
#[tokio::test(start_paused = true)]
async fn a_sync_that_is_overtaken_leaves_the_mark() {
    let mut held = 0;
    for step in 0..12 {
        let (legacy, unified) = stores();
        let (operator, [_, changes]) = slow(&legacy, &unified, Mode::Two).await;
        operator.commit_one(put("1")).await.unwrap();
        assert!(operator.sync(&kind(), &mut |_| {}).await.unwrap().complete);
        let (other, [_, syncs]) = slow(&legacy, &unified, Mode::Two).await;
        // After it took the right to sync.
        let sync = Gate::default();
        syncs.after(1, Operation::Commit, Fault::HoldBefore(sync.clone()));
        let syncing = tokio::spawn({
            let other = Arc::clone(&other);
            async move { other.sync(&kind(), &mut |_| {}).await }
        });
        sync.reached().await;
        let change = Gate::default();
        changes.after(step, Operation::Commit, Fault::HoldBefore(change.clone()));
        let mut changing = tokio::spawn({
            let operator = Arc::clone(&operator);
            async move { operator.set_mode(&kind(), Mode::Three, Forced::No).await }
        });
        tokio::select! {
            () = change.reached() => held += 1,
            changed = &mut changing => {
                changed.unwrap().unwrap();
                break;
            }
        }
        sync.release();
        let synced = syncing.await.unwrap();
        change.release();
        let changed = changing.await.unwrap();
        assert!(
            changed.is_ok(),
            "before commit {step}: {changed:?} beside {synced:?}"
        );
    }
    assert!(held > 3, "the change was held up only {held} times");
}

/// A write of mode 3 brought over what only legacy had while the mode changed. Its copy was refused, as
/// it must be, and with it the write, which had only to wait for the new mode.
#[tokio::test(start_paused = true)]
async fn a_write_that_fetches_follows_a_change_of_mode() {
    let write = Transaction::put(key("a"), Precondition::Present, "new");
    let delete = Transaction::delete(key("a"), Precondition::Any, "old");
    for transaction in [write, delete] {
        let (legacy, unified) = stores();
        legacy.create(key("a"), "old".into()).await.unwrap();
        let (operator, [_, changes]) = slow(&legacy, &unified, Mode::Three).await;
        let (writer, [_, copies]) = slow(&legacy, &unified, Mode::Three).await;
        // Before the end of its copy.
        let copy = Gate::default();
        copies.after(1, Operation::Commit, Fault::HoldBefore(copy.clone()));
        let writing = tokio::spawn({
            let writer = Arc::clone(&writer);
            async move { writer.commit_one(transaction).await }
        });
        copy.reached().await;
        let change = Gate::default();
        // After it asked whether unified is there, and began.
        changes.after(2, Operation::Commit, Fault::HoldBefore(change.clone()));
        let changing = tokio::spawn({
            let operator = Arc::clone(&operator);
            async move { operator.set_mode(&kind(), Mode::Two, Forced::No).await }
        });
        change.reached().await;
        copy.release();
        change.release();
        changing.await.unwrap().unwrap();
        let written = writing.await.unwrap();
        assert!(written.is_ok_and(|outcome| outcome.revision().is_some()));
    }
}

/// The right to sync was renewed by a call whose answer was lost: the sync failed, and its mark stayed.
#[tokio::test(start_paused = true)]
async fn a_sync_that_fails_in_doubt_clears_the_mark() {
    for fault in [Fault::FailBefore, Fault::FailAfter] {
        let (legacy, unified) = stores();
        let (dual, [_, faults]) = slow(&legacy, &unified, Mode::Two).await;
        assert!(dual.sync(&kind(), &mut |_| {}).await.unwrap().complete);
        assert!(dual.status(&kind()).await.unwrap().sync.complete);
        // After it took the right, and asked for the newest revision.
        faults.after(2, Operation::Commit, fault.clone());
        dual.sync(&kind(), &mut |_| {}).await.unwrap_err();
        let status = dual.status(&kind()).await.unwrap();
        assert!(!status.sync.complete, "{fault:?}: {status:?}");
    }
}
