//! After the first durable write that failed a store does nothing until it is opened again.

use storage_core::{
    ChangesQuery, ErrorKind, ListQuery, Precondition, ResourceKey, Result, Retention, Revision,
    Scope, StorageBackend, StorageBackendExt, Transaction,
};

use crate::rows::{Fault, Rows};

fn key() -> ResourceKey {
    ResourceKey::new("", "pods", "default", "a").unwrap()
}

fn put(value: &'static str) -> Transaction {
    Transaction::put(key(), Precondition::Any, value)
}

async fn everything_is_refused(store: &dyn StorageBackend) {
    let all = ChangesQuery::new(Scope::All, Revision::ZERO);
    let answers: [Result<()>; 7] = [
        store.commit(vec![put("later")]).await.map(drop),
        store.get(&key(), None).await.map(drop),
        store.get(&key(), Some(Revision::new(1))).await.map(drop),
        store.list(&ListQuery::live(Scope::All)).await.map(drop),
        store.changes(&all).await.map(drop),
        store.compact(&Retention::default()).await.map(drop),
        store.stats(&Scope::All).await.map(drop),
    ];
    for answer in answers {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        let text = error.to_string();
        assert!(text.contains("rows:test must be reopened"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_not_made_is_unavailable_then_all_is_refused() {
    let rows = Rows::default();
    let store = rows.open().unwrap();
    store.commit_one(put("first")).await.unwrap();
    rows.fail_next_write(Fault::IsNotWritten);
    let error = store.commit_one(put("lost")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    everything_is_refused(&store).await;
    assert_eq!(*store.head().borrow(), Revision::new(1));
    let store = rows.open().unwrap();
    let stored = store.get(&key(), None).await.unwrap().unwrap();
    assert_eq!(stored.value, "first");
    store.commit_one(put("second")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_may_be_made_is_indeterminate_then_all_is_refused() {
    let rows = Rows::default();
    let store = rows.open().unwrap();
    rows.fail_next_write(Fault::IsWrittenButFails);
    let error = store.commit_one(put("made")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Indeterminate);
    everything_is_refused(&store).await;
    // Not durable for certain, so not visible.
    assert_eq!(*store.head().borrow(), Revision::ZERO);
    let store = rows.open().unwrap();
    let stored = store.get(&key(), None).await.unwrap().unwrap();
    assert_eq!(stored.value, "made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_write_is_a_failed_write() {
    let rows = Rows::default();
    let store = rows.open().unwrap();
    rows.fail_next_write(Fault::Panics);
    let error = store.commit_one(put("unknown")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Indeterminate);
    everything_is_refused(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_compaction_is_a_failed_write() {
    let rows = Rows::default();
    let store = rows.open().unwrap();
    store.commit(vec![put("1"), put("2")]).await.unwrap();
    rows.fail_next_write(Fault::IsNotWritten);
    let policy = Retention {
        changes_age_min: std::time::Duration::ZERO,
        changes_max: Some(0),
        ..Retention::default()
    };
    let error = store.compact(&policy).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    everything_is_refused(&store).await;
}

/// Work runs on the runtimes that tests and small tools use, too.
#[tokio::test]
async fn a_runtime_with_one_thread_works() {
    let store = Rows::default().open().unwrap();
    store.commit_one(put("value")).await.unwrap();
    assert!(store.get(&key(), None).await.unwrap().is_some());
    let items = store.list_all(ListQuery::live(Scope::All)).await.unwrap();
    assert_eq!(items.len(), 1);
}
