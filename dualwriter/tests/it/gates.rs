//! What gates and syncs must not believe, and what must not keep them shut.

use std::sync::Arc;

use conformance::step::key;
use conformance::{Fault, Faulty, Gate, Operation};
use dualwriter::{DualWriter, Forced, Kind, Mode, Options, Repair};
use storage_core::{Memory, Precondition, StorageBackend, StorageBackendExt, Transaction};

use crate::rig::{Backend, open, open_faulty, options};

fn stores() -> (Backend, Backend) {
    (Arc::new(Memory::new()), Arc::new(Memory::new()))
}

fn kind() -> Kind {
    Kind::of(&key("a"))
}

fn put(name: &str, value: impl Into<bytes::Bytes>) -> Transaction {
    Transaction::put(key(name), Precondition::Any, value)
}

async fn sync(dual: &DualWriter) -> bool {
    dual.sync(&kind(), &mut |_| {}).await.unwrap().complete
}

async fn to(dual: &DualWriter, mode: Mode) {
    dual.set_mode(&kind(), mode, Forced::No).await.unwrap();
}

/// In mode 1 a sync was complete, then a process wrote legacy and died before unified had it. A change
/// to mode 5 took unified for complete, and the sync there deleted from legacy what unified never
/// had.
#[tokio::test(start_paused = true)]
async fn a_sync_of_mode_1_does_not_make_unified_complete() {
    let (legacy, unified) = stores();
    let operator = open(&legacy, &unified, options(Mode::One)).await;
    assert!(sync(&operator).await);
    let connection = Faulty::new(Arc::clone(&unified));
    let faults = connection.faults();
    let dies = DualWriter::open(
        Arc::clone(&legacy),
        Arc::new(connection),
        options(Mode::One),
    );
    let dies = dies.await.unwrap();
    dies.status(&kind()).await.unwrap();
    faults.crash();
    dies.create(key("a"), "1".into()).await.unwrap();
    drop(dies);
    to(&operator, Mode::Five).await;
    let refused = operator.sync(&kind(), &mut |_| {}).await.unwrap_err();
    assert!(
        refused.to_string().contains("would delete from legacy"),
        "{refused}"
    );
    assert!(legacy.get(&key("a"), None).await.unwrap().is_some());
}

/// Unified misses what was never synced. By way of mode 3 it became the truth all the same, and a sync
/// there deleted from legacy what unified never had.
#[tokio::test(start_paused = true)]
async fn what_was_never_synced_is_not_lost_by_way_of_mode_3() {
    let (legacy, unified) = stores();
    legacy.create(key("a"), "1".into()).await.unwrap();
    let dual = open(&legacy, &unified, options(Mode::Zero)).await;
    to(&dual, Mode::Five).await;
    let down = async |mode| dual.set_mode(&kind(), mode, Forced::AcceptLoss).await;
    let refused = down(Mode::Three).await.unwrap_err();
    assert!(
        refused.to_string().contains("change to mode 2 or below"),
        "{refused}"
    );
    down(Mode::Two).await.unwrap();
    assert!(sync(&dual).await);
    assert_eq!(dual.get(&key("a"), None).await.unwrap().unwrap().value, "1");
}

/// Legacy was read again in mode 3 at the price of what it missed; unified stayed the truth and missed
/// nothing. Back in mode 4 it counted as incomplete, and no reverse sync was allowed any more.
#[tokio::test(start_paused = true)]
async fn a_truth_that_comes_down_to_mode_3_and_goes_up_again_is_complete() {
    let (legacy, unified) = stores();
    let dual = open(&legacy, &unified, options(Mode::Four)).await;
    dual.commit_one(put("a", "1")).await.unwrap();
    let kind = kind();
    let down = dual.set_mode(&kind, Mode::Three, Forced::AcceptLoss);
    down.await.unwrap();
    to(&dual, Mode::Four).await;
    assert!(sync(&dual).await);
    assert!(legacy.get(&key("a"), None).await.unwrap().is_some());
}

/// What changed since a reverse sync is looked up by its changes and copied as it is now: by then it was
/// too large for one commit, the change of mode failed each time, and the kind took no writes.
#[tokio::test(start_paused = true)]
async fn a_way_back_is_not_too_large() {
    let (legacy, unified) = stores();
    let dual = open(&legacy, &unified, options(Mode::Four)).await;
    assert!(sync(&dual).await);
    let large = bytes::Bytes::from(vec![b'x'; 400 << 10]);
    for value in [bytes::Bytes::from("small"), large] {
        for number in 0..100 {
            let made = put(&number.to_string(), value.clone());
            dual.commit_one(made).await.unwrap();
        }
    }
    to(&dual, Mode::Two).await;
    let moved = legacy.get(&key("99"), None).await.unwrap().unwrap();
    assert_eq!(moved.value.len(), 400 << 10);
}

/// A pass that left an object unsettled was resumed at its end by every later sync, with the failure
/// that it had counted: the gate stayed shut.
#[tokio::test(start_paused = true)]
async fn a_sync_that_failed_once_can_succeed() {
    let (legacy, unified) = stores();
    let patient = || Options {
        help_after: std::time::Duration::from_secs(30),
        patience: std::time::Duration::from_millis(20),
        ..options(Mode::Two)
    };
    let operator = open(&legacy, &unified, patient()).await;
    let connection = Faulty::new(Arc::clone(&legacy));
    let faults = connection.faults();
    let slow = DualWriter::open(
        Arc::new(connection),
        Arc::clone(&unified),
        options(Mode::Two),
    );
    let slow = slow.await.unwrap();
    slow.status(&kind()).await.unwrap();
    legacy.create(key("a"), "1".into()).await.unwrap();
    let gate = faults.hold_next(Operation::Commit);
    let writing = tokio::spawn(async move { slow.commit_one(put("a", "2")).await });
    gate.reached().await;
    assert!(!sync(&operator).await);
    gate.release();
    assert!(writing.await.unwrap().unwrap().revision().is_some());
    assert!(sync(&operator).await);
}

/// Writes unified behind the dual writer's back.
async fn tamper(unified: &Backend) {
    unified.commit_one(put("a", "other")).await.unwrap();
}

/// A verification told of a difference, and the gate stayed open.
#[tokio::test(start_paused = true)]
async fn a_verification_that_finds_a_difference_shuts_the_gate() {
    let (legacy, unified) = stores();
    let dual = open(&legacy, &unified, options(Mode::Two)).await;
    dual.commit_one(put("a", "1")).await.unwrap();
    assert!(sync(&dual).await);
    tamper(&unified).await;
    let verify = async |repair| {
        let report = dual.verify(&kind(), repair, &mut |_| {}, &mut |_| {}).await;
        report.unwrap().differences
    };
    assert_eq!(verify(Repair::Yes).await, 1);
    assert!(dual.status(&kind()).await.unwrap().sync.complete);
    tamper(&unified).await;
    assert_eq!(verify(Repair::No).await, 1);
    let refused = dual.set_mode(&kind(), Mode::Three, Forced::No).await;
    let refused = refused.unwrap_err().to_string();
    let why = "a verification found a difference";
    assert!(refused.contains(why), "{refused}");
}

/// A read found a difference in what a pass had compared already. The pass went on to its end, and the
/// mark was set.
#[tokio::test(start_paused = true)]
async fn a_difference_that_is_found_during_a_pass_is_not_passed_by() {
    let (legacy, unified) = stores();
    for name in ["a", "b", "c"] {
        legacy.create(key(name), "1".into()).await.unwrap();
    }
    let mut options = options(Mode::Two);
    options.config.data_sync_records_limit = 1;
    let (dual, [_, faults]) = open_faulty(&legacy, &unified, options).await;
    assert!(sync(&dual).await);
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    // The list of what is after the first object.
    let listing = Gate::default();
    faults.after(1, Operation::List, Fault::HoldBefore(listing.clone()));
    let syncing = tokio::spawn({
        let dual = Arc::clone(&dual);
        async move { sync(&dual).await }
    });
    listing.reached().await;
    tamper(&unified).await;
    dual.get(&key("a"), None).await.unwrap();
    let cleared = dual.status(&kind()).await.unwrap().sync;
    assert!(!cleared.complete, "{cleared:?}");
    listing.release();
    let complete = syncing.await.unwrap();
    let repaired = unified.get(&key("a"), None).await.unwrap().unwrap();
    assert!(complete && repaired.value == "1", "{repaired:?}");
}
