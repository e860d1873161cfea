use std::sync::Arc;

use futures::future::join_all;
use storage_core::{ErrorKind, Precondition, StorageBackendExt, SystemClock, Transaction};

use crate::engines::{key, on_each_engine, open};
use crate::stores::Store;

/// Processes that start at once.
const OPENERS: usize = 8;

on_each_engine! {
    many_start_on_an_empty_database
    a_newer_schema_is_refused
    opening_again_changes_nothing
}

async fn many_start_on_an_empty_database<S: Store>(store: Arc<S>) {
    let openers = (0..OPENERS).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.open(Arc::new(SystemClock)).await })
    });
    let opened = join_all(openers).await.into_iter().map(Result::unwrap);
    let (open, refused): (Vec<_>, Vec<_>) = opened.partition(Result::is_ok);
    let is_shared = store.declared() == conformance::Declared::SHARED;
    assert_eq!(
        open.len(),
        if is_shared { OPENERS } else { 1 },
        "{refused:?}"
    );
    for error in refused.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(error.to_string().contains("is open already"), "{error}");
    }
    for (index, handle) in open.into_iter().map(Result::unwrap).enumerate() {
        let key = key("", &format!("of-{index}"));
        let put = Transaction::put(key, Precondition::Absent, "1");
        let outcome = handle.commit_one(put).await.unwrap();
        assert_eq!(outcome.revision().unwrap().get(), index as u64 + 1);
    }
}

async fn a_newer_schema_is_refused<S: Store>(store: Arc<S>) {
    drop(open(&*store).await);
    store.sql("UPDATE unistore_schema SET version = 99").await;
    let error = store.open(Arc::new(SystemClock)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    assert!(
        error.to_string().contains("the schema has version 99"),
        "{error}"
    );
    store.sql("UPDATE unistore_schema SET version = 1").await;
    open(&*store).await;
}

async fn opening_again_changes_nothing<S: Store>(store: Arc<S>) {
    let handle = open(&*store).await;
    let revision = handle.create(key("", "a"), "1".into()).await.unwrap();
    drop(handle);
    let handle = open(&*store).await;
    assert_eq!(*handle.head().borrow(), revision);
    assert_eq!(
        handle
            .get(&key("", "a"), None)
            .await
            .unwrap()
            .unwrap()
            .revision,
        revision
    );
}
