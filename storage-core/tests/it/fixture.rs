use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use storage_core::{
    Change, ChangesQuery, Op, Outcome, Precondition, ResourceKey, Result, Retention, Revision,
    Scope, StorageBackend, StorageBackendExt, Transaction, WatchEvent, Write,
};

/// Longer than any event takes; a test that waits this long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn key(resource: &str, name: &str) -> ResourceKey {
    ResourceKey::new("test.example", resource, "default", name).unwrap()
}

pub(crate) fn scope(resource: &str) -> Scope {
    Scope::resource("test.example", resource)
}

pub(crate) fn put(resource: &str, name: &str, value: &str) -> Write {
    Write {
        key: key(resource, name),
        precondition: Precondition::Any,
        op: Op::Put(Bytes::copy_from_slice(value.as_bytes())),
    }
}

pub(crate) fn puts(resource: &str, names: &[&str]) -> Transaction {
    let writes = names.iter().map(|name| put(resource, name, name));
    writes.fold(Transaction::default(), Transaction::and)
}

pub(crate) fn revision(outcome: &Outcome) -> Revision {
    outcome.revision().expect("a conflict")
}

/// Writes one object and returns the revision.
pub(crate) async fn write(backend: &dyn StorageBackend, resource: &str, name: &str) -> Revision {
    let transaction = puts(resource, &[name]);
    revision(&backend.commit_one(transaction).await.unwrap())
}

/// Returns everything that changed since the beginning.
pub(crate) async fn all_changes(backend: &dyn StorageBackend, scope: Scope) -> Vec<Arc<Change>> {
    let query = ChangesQuery::new(scope, Revision::ZERO);
    backend.changes(&query).await.unwrap().changes
}

/// Drops all changes.
pub(crate) async fn compact_all(backend: &dyn StorageBackend) -> Revision {
    let policy = Retention {
        changes_age_min: Duration::ZERO,
        changes_age_max: Some(Duration::ZERO),
        ..Retention::default()
    };
    loop {
        let compacted = backend.compact(&policy).await.unwrap();
        if !compacted.more {
            return compacted.horizon;
        }
    }
}

/// Returns the next item of a stream that must have one.
pub(crate) async fn next<T>(stream: &mut (impl Stream<Item = T> + Unpin)) -> T {
    within(stream.next()).await.expect("the stream ended")
}

/// Returns the next change, passing bookmarks.
pub(crate) async fn next_change(
    stream: &mut (impl Stream<Item = Result<WatchEvent>> + Unpin),
) -> Arc<Change> {
    loop {
        if let WatchEvent::Change(change) = next(stream).await.unwrap() {
            return change;
        }
    }
}

pub(crate) async fn take_changes(
    stream: &mut (impl Stream<Item = Result<WatchEvent>> + Unpin),
    count: usize,
) -> Vec<Arc<Change>> {
    let mut changes = Vec::with_capacity(count);
    while changes.len() < count {
        changes.push(next_change(stream).await);
    }
    changes
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(DEADLINE, future).await;
    result.expect("nothing happened before the deadline")
}

/// Polls once, for what must not be ready yet.
pub(crate) fn poll_now<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[track_caller]
pub(crate) fn assert_pending<T: Debug>(future: impl Future<Output = T>) {
    if let Poll::Ready(value) = poll_now(future) {
        panic!("expected nothing yet, got {value:?}");
    }
}
