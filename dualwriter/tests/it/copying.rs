//! What copying does beside writers.

use std::sync::Arc;

use conformance::step::{key, put};
use conformance::{Fault, Faulty, Gate, Operation};
use dualwriter::{Kind, Mode};
use storage_core::{
    ListQuery, Memory, OperationId, Order, Precondition, Scope, StorageBackend, StorageBackendExt,
    SystemClock, Transaction,
};

use crate::rig::{Backend, open, options};

/// Two server processes in mode 1, an object that was deleted and created again: the copy read it
/// between the two, did not find the deletion in the trash afterwards, and made one up in unified,
/// without the request and the time. Unified's history then told of a deletion that nobody asked
/// for.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_was_undone_meanwhile_is_not_copied() {
    let legacy = Faulty::new(Memory::new());
    let faults = legacy.faults();
    let legacy: Backend = Arc::new(legacy);
    let unified: Backend = Arc::new(Memory::new());
    let dual = Arc::new(open(&legacy, &unified, options(Mode::Two, Arc::new(SystemClock))).await);
    let backend: Backend = dual.clone();
    let (name, kind) = (key("a"), Kind::of(&key("a")));
    put(&backend, &name, "1").await;
    dual.sync(&kind, &mut |_| {}).await.unwrap();
    // As another process does in mode 1, which does not ask for intents.
    let delete = Transaction::delete(name.clone(), Precondition::Any, "1");
    let asked = delete.operation(OperationId(7));
    legacy.commit_one(asked).await.unwrap();
    // The first list is that of all objects, the second one that of the trash.
    let gate = Gate::default();
    faults.after(1, Operation::List, Fault::HoldBefore(gate.clone()));
    let syncing = tokio::spawn({
        let (dual, kind) = (Arc::clone(&dual), kind.clone());
        async move { dual.sync(&kind, &mut |_| {}).await.unwrap() }
    });
    gate.reached().await;
    let create = Transaction::put(name.clone(), Precondition::Absent, "2");
    legacy
        .commit_one(create.operation(OperationId(8)))
        .await
        .unwrap();
    gate.release();
    assert!(syncing.await.unwrap().complete);
    let history = ListQuery::history(Scope::Object(name), Order::Ascending);
    let history = unified.list(&history).await.unwrap().items;
    let operations: Vec<_> = history
        .iter()
        .skip(1)
        .map(|stored| stored.operation)
        .collect();
    assert_eq!(operations, [OperationId(8)]);
}
