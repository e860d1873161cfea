//! The connection breaks while the database commits.

use std::sync::Arc;
use std::time::Duration;

use backend_sql::SqlOptions;
use storage_core::{
    ErrorKind, ListQuery, OperationId, Order, Precondition, ResourceKey, Scope, StorageBackend,
    StorageBackendExt, SystemClock, Transaction,
};

use crate::engines::{key, on_each_server, open};
use crate::proxy::{Cut, Proxy};
use crate::stores::{Store, options};

/// The value of the write that is cut off: found on the wire.
const MARK: &str = "the value to be cut off";

on_each_server! {
    a_commit_without_an_answer_is_found
    a_commit_that_never_arrived_is_made_again
    control_records_are_found_too
    without_the_database_it_is_indeterminate
}

async fn a_commit_without_an_answer_is_found<S: Store>(store: Arc<S>) {
    exactly_once(&*store, Cut::BeforeTheAnswer).await;
}

async fn a_commit_that_never_arrived_is_made_again<S: Store>(store: Arc<S>) {
    exactly_once(&*store, Cut::BeforeTheServer).await;
}

async fn exactly_once<S: Store>(store: &S, cut: Cut) {
    let other = open(store).await;
    let (proxy, handle) = behind_proxy(store, &options()).await;
    let revision = handle.create(key("", "a"), "1".into()).await.unwrap();
    for round in 0..5 {
        let name = format!("b-{round}");
        proxy.cut_at(&marks(&*handle), cut);
        let put = Transaction::put(key("", &name), Precondition::Absent, MARK)
            .operation(OperationId(round + 1));
        let outcome = handle.commit_one(put).await.unwrap();
        let committed = outcome.revision().expect("it is no conflict with itself");
        assert!(committed > revision);
        assert_eq!(
            proxy.cuts(),
            u64::try_from(round).unwrap() + 1,
            "it was cut"
        );
        let history = ListQuery::history(Scope::Object(key("", &name)), Order::Ascending);
        let history = other.list_all(history).await.unwrap();
        assert_eq!(history.len(), 1, "{history:?}");
        assert_eq!(history[0].revision, committed);
        assert_eq!(history[0].operation, OperationId(round + 1));
        assert!(*handle.head().borrow() >= committed);
        other.create(key("other", &name), "1".into()).await.unwrap();
    }
}

async fn control_records_are_found_too<S: Store>(store: Arc<S>) {
    let other = open(&*store).await;
    let (proxy, handle) = behind_proxy(&*store, &options()).await;
    let record = ResourceKey::internal("journal", "", "a").unwrap();
    let first = handle.create(record.clone(), "1".into()).await.unwrap();
    proxy.cut_at(&marks(&*handle), Cut::BeforeTheAnswer);
    let second = handle
        .update(record.clone(), first, MARK.into())
        .await
        .unwrap();
    assert_eq!(proxy.cuts(), 1);
    let stored = other.get(&record, None).await.unwrap().unwrap();
    assert_eq!(stored.revision, second);
}

async fn without_the_database_it_is_indeterminate<S: Store>(store: Arc<S>) {
    let other = open(&*store).await;
    let impatient = SqlOptions {
        acquire_timeout: Duration::from_millis(300),
        decide_timeout: Duration::from_secs(1),
        ..options()
    };
    let (proxy, handle) = behind_proxy(&*store, &impatient).await;
    handle.create(key("", "a"), "1".into()).await.unwrap();
    proxy.cut_for_good_at(&marks(&*handle), Cut::BeforeTheAnswer);
    let error = handle.create(key("", "b"), MARK.into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error:?}");
    let stored = other.get(&key("", "b"), None).await.unwrap();
    assert!(stored.is_some(), "the server has got it");
    let error = handle.create(key("", "c"), "1".into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(other.get(&key("", "c"), None).await.unwrap().is_none());
    proxy.mend();
    handle.create(key("", "c"), "1".into()).await.unwrap();
}

/// What goes over the wire at a commit: PostgreSQL gets the value with it, MySQL before it.
fn marks(handle: &dyn StorageBackend) -> Vec<&'static str> {
    match handle.info().engine {
        "mysql" => vec![MARK, "COMMIT"],
        _ => vec![MARK],
    }
}

async fn behind_proxy<S: Store>(
    store: &S,
    options: &SqlOptions,
) -> (Proxy, Arc<dyn StorageBackend>) {
    let (proxy, url) = Proxy::start(&store.url()).await;
    let handle = crate::stores::open_url(&url, options, Arc::new(SystemClock)).await;
    (proxy, handle.unwrap())
}
