//! What the simulator and the fuzzer found.

use std::sync::Arc;
use std::time::Duration;

use conformance::step::{key, scope};
use conformance::{Fault, Faulty, Gate, Operation};
use dualwriter::{DualWriter, Forced, Kind, Mode, Options, Side};
use storage_core::{
    ChangesQuery, ErrorKind, ListQuery, Memory, Precondition, ResourceKey, StorageBackend,
    StorageBackendExt, Stored, Transaction,
};
use tokio::time::timeout;

use crate::rig::{Backend, intents, open, options, until};

/// How long a read may be held up by a change that stands still.
const PATIENCE: Duration = Duration::from_millis(200);

fn other(name: &str) -> ResourceKey {
    ResourceKey::new("example.org", "others", "ns", name).unwrap()
}

/// A read that had to write first, to bring an object over or to level revisions, passed on that
/// the outcome of that write was unknown. Watches took it for an error that they cannot outlive.
#[tokio::test(start_paused = true)]
async fn a_read_has_no_unknown_outcome() {
    let legacy = Arc::new(Memory::new());
    legacy.create(key("a"), "1".into()).await.unwrap();
    let (legacy, unified) = (Faulty::new(legacy), Faulty::new(Memory::new()));
    let (legacy_faults, unified_faults) = (legacy.faults(), unified.faults());
    let options = options(Mode::Three);
    let opening = DualWriter::open(Arc::new(legacy), Arc::new(unified), options);
    let dual = opening.await.unwrap();
    dual.status(&Kind::of(&key("a"))).await.unwrap();

    unified_faults.next(Operation::Commit, Fault::FailUnknown);
    let fetched = dual.get(&key("a"), None).await;
    assert_eq!(fetched.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(dual.get(&key("a"), None).await.unwrap().is_some());

    // A kind that is read from legacy, whose revisions are behind.
    let kind = Kind::of(&other("a"));
    dual.set_mode(&kind, Mode::Two, Forced::No).await.unwrap();
    for name in ["b", "c"] {
        dual.create(key(name), "1".into()).await.unwrap();
    }
    let head = *dual.head().borrow();
    legacy_faults.next(Operation::Commit, Fault::FailUnknown);
    let query = ChangesQuery::new(kind.scope(), head);
    let changes = dual.changes(&query).await;
    assert_eq!(changes.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(dual.changes(&query).await.unwrap().changes.is_empty());
}

/// A watch went on over a change of side with what it had seen on the side that was left, instead
/// of being told that it expired: the revision below which that happens was chosen while the old
/// side still answered, and other kinds, or reads, raised the old side beyond it.
#[tokio::test(start_paused = true)]
async fn what_was_read_on_the_side_that_was_left_expires() {
    // With a sync before the change, and without: then the new side's revisions are far behind.
    for (from, to) in [(Mode::Two, Mode::Three), (Mode::Zero, Mode::Five)] {
        let mut steps = 0;
        while read_beside_a_change(from, to, steps).await {
            steps += 1;
        }
        assert!(steps > 2, "{from} to {to} has only {steps} commits");
    }
}

/// Lists while a change of side stands still before one of its commits; false if it has no such.
async fn read_beside_a_change(from: Mode, to: Mode, step: u64) -> bool {
    let (legacy, unified): (Backend, Backend) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    let connection = Faulty::new(Arc::clone(&unified));
    let faults = connection.faults();
    let connection: Backend = Arc::new(connection);
    let process = || options(Mode::Zero);
    let operator = Arc::new(open(&legacy, &connection, process()).await);
    let reader = open(&legacy, &unified, process()).await;
    let kind = Kind::of(&key("a"));
    if from > Mode::Zero {
        operator.set_mode(&kind, from, Forced::No).await.unwrap();
        let synced = operator.sync(&kind, &mut |_| {}).await.unwrap();
        assert!(synced.complete);
    }
    reader.create(key("a"), "1".into()).await.unwrap();

    let gate = Gate::default();
    faults.after(step, Operation::Commit, Fault::HoldBefore(gate.clone()));
    let mut change = tokio::spawn({
        let (operator, kind) = (Arc::clone(&operator), kind.clone());
        async move { operator.set_mode(&kind, to, Forced::No).await }
    });
    tokio::select! {
        () = gate.reached() => {}
        made = &mut change => {
            made.unwrap().unwrap();
            return false;
        }
    }
    for number in 0..20 {
        let made = reader.create(other(&number.to_string()), "1".into()).await;
        made.unwrap();
    }
    let listed = timeout(PATIENCE, reader.list(&ListQuery::live(scope()))).await;
    gate.release();
    change.await.unwrap().unwrap();
    let Ok(listed) = listed else {
        return true;
    };
    let listed = listed.unwrap();
    reader.create(key("b"), "1".into()).await.unwrap();
    let after = ChangesQuery::new(scope(), listed.revision);
    match reader.changes(&after).await {
        Ok(missed) => {
            let seen =
                names(&listed.items).chain(missed.changes.iter().map(|it| it.object.key.name()));
            let now = reader.list(&ListQuery::live(scope())).await.unwrap();
            let step = format!("{from} to {to}, before commit {step}");
            assert!(seen.eq(names(&now.items)), "{step}");
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Expired),
    }
    true
}

fn names(items: &[Stored]) -> impl Iterator<Item = &str> {
    items.iter().map(|item| item.key.name())
}

/// A process that helped with a write looked whether it may still be finished, was held up while
/// another one finished it and the mode changed, and then did it again over a newer write: what
/// legacy was asked to check was the mode after the change, which has no fences.
#[tokio::test(start_paused = true)]
async fn a_late_helper_does_nothing() {
    for side in [Side::Legacy, Side::Unified] {
        for before in [Some("1"), None] {
            let mut reads = 0;
            while help_late(side, reads, before).await {
                reads += 1;
            }
            assert!(reads > 2, "a helper reads {side} only {reads} times");
        }
    }
}

/// Holds a helper up before one of its reads of a store; false if it has no such. What it helps
/// with is an update, or a creation that is deleted again in a mode that leaves no fence.
async fn help_late(side: Side, read: u64, before: Option<&'static str>) -> bool {
    let (legacy, unified): (Backend, Backend) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    // The change of mode waits for the lease of the helper that stands still. The read helps before the
    // background does.
    let process = || Options {
        lease: Duration::from_millis(200),
        help_after: Duration::from_millis(1),
        ..options(Mode::Two)
    };
    let kind = Kind::of(&key("a"));
    let put = |value: &'static str| {
        Transaction::put(key("a"), Precondition::Any, bytes::Bytes::from(value))
    };

    let connection = Faulty::new(Arc::clone(&legacy));
    let faults = connection.faults();
    let connection: Backend = Arc::new(connection);
    let owner = open(&connection, &unified, process()).await;
    if let Some(before) = before {
        owner.commit_one(put(before)).await.unwrap();
    }
    faults.next(Operation::Commit, Fault::CrashBefore);
    let begun = owner.commit_one(put("2")).await;
    assert!(begun.unwrap_err().is_indeterminate());
    faults.heal();
    owner.close().await.unwrap();

    let [to_legacy, to_unified] = [&legacy, &unified].map(|store| Faulty::new(Arc::clone(store)));
    let faults = match side {
        Side::Legacy => to_legacy.faults(),
        Side::Unified => to_unified.faults(),
    };
    let helper = DualWriter::open(Arc::new(to_legacy), Arc::new(to_unified), process());
    let helper = helper.await.unwrap();
    helper.status(&kind).await.unwrap();
    let gate = Gate::default();
    faults.after(read, Operation::Get, Fault::HoldBefore(gate.clone()));
    let mut helping = tokio::spawn(async move {
        let helped = helper.get(&key("a"), None).await;
        (helper, helped)
    });
    tokio::select! {
        () = gate.reached() => {}
        helped = &mut helping => {
            let (_, helped) = helped.unwrap();
            assert_eq!(helped.unwrap().unwrap().value, "2");
            return false;
        }
    }
    let other = open(&legacy, &unified, process()).await;
    let finished = other.get(&key("a"), None).await.unwrap().unwrap();
    assert_eq!(finished.value, "2");
    other.set_mode(&kind, Mode::One, Forced::No).await.unwrap();
    let last = match before {
        Some(_) => put("3"),
        None => Transaction::delete(key("a"), Precondition::Present, "gone"),
    };
    other.commit_one(last).await.unwrap();
    gate.release();
    // Whatever it answers: it may have been overtaken.
    let (_helper, _) = helping.await.unwrap();
    let stored = legacy.get(&key("a"), None).await.unwrap();
    let value = stored.map(|stored| stored.value);
    let expected = before.map(|_| "3");
    assert_eq!(
        value.as_deref(),
        expected.map(str::as_bytes),
        "held before read {read} of {side}"
    );
    true
}

/// A background copy of mode 1 that came late left its intent behind when the kind was back in mode
/// 0, where nobody looked for unfinished work: it was shown as in doubt for ever.
#[tokio::test(start_paused = true)]
async fn what_a_late_copy_left_behind_is_cleaned_up_in_mode_0() {
    let (legacy, unified): (Backend, Backend) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    let kind = Kind::of(&key("a"));
    let process = || Options {
        lease: Duration::from_millis(200),
        ..options(Mode::Zero)
    };
    let operator = open(&legacy, &unified, process()).await;
    let to = async |mode| operator.set_mode(&kind, mode, Forced::No).await.unwrap();
    to(Mode::One).await;
    // What the process sends arrives late, and then it is dead.
    let network = Faulty::new(Arc::clone(&unified));
    let delays = network.faults();
    let connection = Faulty::new(network);
    let faults = connection.faults();
    let copier = DualWriter::open(Arc::clone(&legacy), Arc::new(connection), process());
    let copier = copier.await.unwrap();
    copier.status(&kind).await.unwrap();
    faults.next(Operation::Commit, Fault::CrashAfter);
    let gate = delays.hold_next(Operation::Commit);
    copier.create(key("a"), "1".into()).await.unwrap();
    gate.reached().await;
    to(Mode::Zero).await;
    operator.close().await.unwrap();
    gate.release();
    let in_doubt = async || intents(&unified).await;
    until("the copy's intent is there", async || in_doubt().await == 1).await;
    drop(copier);

    let last = open(&legacy, &unified, process()).await;
    last.status(&kind).await.unwrap();
    until("nothing is in doubt", async || in_doubt().await == 0).await;
}
