//! What copying does beside writers.

use std::sync::Arc;

use conformance::step::{key, put};
use conformance::{Fault, Faulty, Gate, Operation};
use dualwriter::{Kind, Mode};
use storage_core::{
    ListQuery, Memory, OperationId, Order, Precondition, Scope, StorageBackend, StorageBackendExt,
    Transaction,
};

use crate::rig::{Backend, open, options};

/// Two server processes in mode 1, an object that was deleted and created again: the copy read it
/// between the two, did not find the deletion in the trash afterwards, and made one up in unified,
/// without the request and the time. Unified's history then told of a deletion that nobody asked
/// for. The same came about when it was deleted once more before the copy looked whether it was there.
#[tokio::test(start_paused = true)]
async fn a_deletion_that_was_undone_meanwhile_is_not_copied() {
    assert_eq!(copied_beside(&[Change::Create]).await, [OperationId(8)]);
    let deleted_again = [Change::Create, Change::Delete];
    assert_eq!(copied_beside(&deleted_again).await, [OperationId(9)]);
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Create,
    Delete,
}

/// Syncs an object that legacy does not have any more, while others change it there: before the
/// deletion is looked up, and before the answer comes. Returns the operations that unified got.
async fn copied_beside(changes: &[Change]) -> Vec<OperationId> {
    let near = Faulty::new(Memory::new());
    let far = near.faults();
    let legacy = Faulty::new(near);
    let faults = [legacy.faults(), far];
    let legacy: Backend = Arc::new(legacy);
    let unified: Backend = Arc::new(Memory::new());
    let dual = Arc::new(open(&legacy, &unified, options(Mode::Two)).await);
    let backend: Backend = dual.clone();
    let (name, kind) = (key("a"), Kind::of(&key("a")));
    put(&backend, &name, "1").await;
    dual.sync(&kind, &mut |_| {}).await.unwrap();
    // As another process does in mode 1, which does not ask for intents.
    let delete = Transaction::delete(name.clone(), Precondition::Any, "1");
    let asked = delete.operation(OperationId(7));
    legacy.commit_one(asked).await.unwrap();
    let gates = [Gate::default(), Gate::default()];
    let holds = [
        Fault::HoldBefore(gates[0].clone()),
        Fault::HoldAfter(gates[1].clone()),
    ];
    for ((faults, hold), _) in faults.iter().zip(holds).zip(changes) {
        // The first list is that of all objects, the second one looks for the deletion.
        faults.after(1, Operation::List, hold);
    }
    let syncing = tokio::spawn({
        let (dual, kind) = (Arc::clone(&dual), kind.clone());
        async move { dual.sync(&kind, &mut |_| {}).await.unwrap() }
    });
    for ((operation, change), gate) in (8..).zip(changes).zip(&gates) {
        gate.reached().await;
        let change = match change {
            Change::Create => Transaction::put(name.clone(), Precondition::Absent, "2"),
            Change::Delete => Transaction::delete(name.clone(), Precondition::Present, "2"),
        };
        let change = change.operation(OperationId(operation));
        let made = legacy.commit_one(change).await.unwrap();
        assert!(made.revision().is_some());
        gate.release();
    }
    assert!(syncing.await.unwrap().complete);
    let history = ListQuery::history(Scope::Object(name), Order::Ascending);
    let history = unified.list(&history).await.unwrap().items;
    let copied = history.iter().skip(1);
    copied.map(|stored| stored.operation).collect()
}
