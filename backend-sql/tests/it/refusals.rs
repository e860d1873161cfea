//! Answers that are errors. Each used to cost a connection, with a login, and a program that asks
//! for what is compacted asks again and again.

use std::sync::Arc;

use storage_core::{
    ChangesQuery, ErrorKind, ListQuery, Retention, Revision, Scope, StorageBackend,
    StorageBackendExt, SystemClock,
};

use crate::engines::{key, on_each_server};
use crate::proxy::Proxy;
use crate::stores::{Store, open_url, options};

on_each_server! {
    answers_that_are_errors_keep_the_connection
}

async fn answers_that_are_errors_keep_the_connection<S: Store>(store: Arc<S>) {
    drop(crate::engines::open(&*store).await);
    let (proxy, url) = Proxy::start(&store.url()).await;
    let handle = open_url(&url, &options(), Arc::new(SystemClock)).await;
    let handle = handle.unwrap();
    let horizon = compacted(&*handle).await;
    for _ in 0..20 {
        refused(&*handle, horizon).await;
    }
    let connections = proxy.connections();
    assert!(
        connections <= u64::from(options().connections_max),
        "{connections} connections were made for 120 refusals"
    );
}

/// Makes an object with two revisions of which one is gone; returns the horizon.
async fn compacted(store: &dyn StorageBackend) -> Revision {
    let created = store.create(key("", "a"), "1".into()).await.unwrap();
    store
        .update(key("", "a"), created, "2".into())
        .await
        .unwrap();
    let policy = Retention {
        changes_age_min: std::time::Duration::ZERO,
        changes_max: Some(0),
        history_per_object: Some(1),
        ..Retention::default()
    };
    store.compact(&policy).await.unwrap().horizon
}

/// Asks for what is gone and for what is to come, in every way.
async fn refused(store: &dyn StorageBackend, horizon: Revision) {
    let gone = Revision::new(horizon.get() - 1);
    let future = Revision::new(horizon.get() + 1_000);
    for (at, kind) in [
        (gone, ErrorKind::Expired),
        (future, ErrorKind::FutureRevision),
    ] {
        let get = store.get(&key("", "a"), Some(at)).await;
        assert_eq!(get.unwrap_err().kind(), kind);
        let list = store.list(&ListQuery::live(Scope::All).at(at)).await;
        assert_eq!(list.unwrap_err().kind(), kind);
        let changes = store.changes(&ChangesQuery::new(Scope::All, at)).await;
        assert_eq!(changes.unwrap_err().kind(), kind);
    }
    assert!(store.get(&key("", "a"), None).await.unwrap().is_some());
}
