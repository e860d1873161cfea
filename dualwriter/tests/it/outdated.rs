//! Whether a store that is older than the other one, as after a backup of one alone, is noticed.

use std::sync::Arc;

use conformance::step::key;
use conformance::{Fault, Gate, Operation};
use dualwriter::{DualWriter, Forced, Kind, Mode, SPACE, Side, outdated};
use storage_core::{
    INTERNAL_GROUP, ListQuery, Memory, Precondition, Scope, StorageBackend, StorageBackendExt,
    Stored, Transaction,
};

use crate::rig::{Backend, open, open_faulty, options};

fn stores() -> (Backend, Backend) {
    (Arc::new(Memory::new()), Arc::new(Memory::new()))
}

fn kind() -> Kind {
    Kind::of(&key("a"))
}

/// Changes the mode; what the objects are is nothing to this.
async fn go(dual: &DualWriter, to: Mode) {
    if dual.set_mode(&kind(), to, Forced::SkipSync).await.is_err() {
        let changed = dual.set_mode(&kind(), to, Forced::AcceptLoss).await;
        changed.unwrap_or_else(|error| panic!("to mode {to}: {error}"));
    }
}

async fn told(legacy: &Backend, unified: &Backend) -> Option<(Side, u8, u8)> {
    let found = outdated(&**legacy, &**unified, SPACE).await.unwrap();
    found.map(|old| {
        assert_eq!(old.kind, kind());
        (old.side, old.mode.number(), old.newer.number())
    })
}

/// What a store knows of modes.
async fn known(store: &Backend) -> Vec<Stored> {
    let modes = ListQuery::live(Scope::resource(INTERNAL_GROUP, format!("{SPACE}.mode")));
    store.list(&modes).await.unwrap().items
}

/// Takes a store back to what it knew of modes.
async fn restore(store: &Backend, before: &[Stored]) {
    for record in known(store).await {
        let removal = Transaction::delete(record.key, Precondition::Any, "");
        store.commit_one(removal).await.unwrap();
    }
    for record in before {
        let put = Transaction::put(record.key.clone(), Precondition::Any, record.value.clone());
        store.commit_one(put).await.unwrap();
    }
}

/// A unified store from before the promotion was taken for the truth: it showed no objects, and a sync
/// deleted those of legacy.
#[tokio::test(start_paused = true)]
async fn a_store_of_another_time_is_told() {
    use Mode::{Five, Four, One, Three, Two, Zero};
    for (from, to) in [
        (Zero, Two),
        (Zero, Four),
        (One, Three),
        (Four, Zero),
        (Five, One),
    ] {
        let (legacy, unified) = stores();
        let dual = open(&legacy, &unified, options(Zero)).await;
        go(&dual, from).await;
        let before = (known(&legacy).await, known(&unified).await);
        go(&dual, to).await;
        dual.close().await.unwrap();
        let now = (known(&legacy).await, known(&unified).await);
        assert_eq!(told(&legacy, &unified).await, None, "{from} to {to}");
        restore(&unified, &before.1).await;
        // In mode 1 unified did not hear of the change from mode 0.
        let (side, _, newer) = told(&legacy, &unified).await.expect("unified is old");
        assert_eq!(
            (side, newer),
            (Side::Unified, to.number()),
            "{from} to {to}"
        );
        restore(&unified, &now.1).await;
        restore(&legacy, &before.0).await;
        let (side, _, newer) = told(&legacy, &unified).await.expect("legacy is old");
        assert_eq!((side, newer), (Side::Legacy, to.number()), "{from} to {to}");
    }
}

/// Wherever a change is interrupted, both stores are of one time.
#[tokio::test(start_paused = true)]
async fn an_interrupted_change_is_not_taken_for_an_old_store() {
    let mut interrupted = 0;
    let pairs = Mode::ALL
        .iter()
        .flat_map(|from| Mode::ALL.map(|to| (*from, to)));
    for ((from, to), side) in pairs.flat_map(|pair| [0, 1].map(|side| (pair, side))) {
        for step in 0.. {
            let (legacy, unified) = stores();
            let (dual, faults) = open_faulty(&legacy, &unified, options(Mode::Zero)).await;
            let faults = &faults[side];
            go(&dual, Mode::Two).await;
            dual.sync(&kind(), &mut |_| {}).await.unwrap();
            go(&dual, from).await;
            let held = Gate::default();
            faults.after(step, Operation::Commit, Fault::HoldBefore(held.clone()));
            let mut changing = tokio::spawn({
                let dual = Arc::clone(&dual);
                async move { go(&dual, to).await }
            });
            tokio::select! {
                () = held.reached() => {}
                changed = &mut changing => {
                    changed.unwrap();
                    break;
                }
            }
            interrupted += 1;
            assert_eq!(
                told(&legacy, &unified).await,
                None,
                "{from} to {to}, {step}"
            );
            held.release();
            changing.await.unwrap();
            assert_eq!(told(&legacy, &unified).await, None, "{from} to {to}");
        }
    }
    assert!(interrupted > 60, "only {interrupted} times");
}
