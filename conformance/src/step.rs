//! The steps that cases are made of.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use storage_core::{
    Change, ChangesQuery, Compacted, Conflict, ErrorKind, ListQuery, Outcome, Precondition,
    ResourceKey, Result, Retention, Revision, Scope, StorageBackend, StorageBackendExt, Stored,
    Transaction,
};

use storage_core::limits::{TRANSACTIONS_PER_COMMIT_MAX, WRITES_PER_TRANSACTION_MAX};

/// A handle on a store.
pub type Backend = Arc<dyn StorageBackend>;

/// The group of most keys in cases.
pub const GROUP: &str = "example.org";
/// The resource of most keys in cases.
pub const RESOURCE: &str = "things";

/// Returns a key in the namespace `ns`.
#[must_use]
pub fn key(name: &str) -> ResourceKey {
    key_in("ns", name)
}

/// Returns a key in a namespace.
#[must_use]
pub fn key_in(namespace: &str, name: &str) -> ResourceKey {
    ResourceKey::new(GROUP, RESOURCE, namespace, name).expect("a well formed key")
}

/// Returns the key of a control record.
#[must_use]
pub fn internal_key(name: &str) -> ResourceKey {
    ResourceKey::internal("conformance", "", name).expect("a well formed key")
}

/// Returns the scope of the keys that [`key`] and [`key_in`] make.
#[must_use]
pub fn scope() -> Scope {
    Scope::resource(GROUP, RESOURCE)
}

/// Commits one transaction.
pub async fn commit(store: &Backend, transaction: impl Into<Transaction>) -> Outcome {
    let outcome = store.commit_one(transaction.into()).await;
    outcome.expect("commit answers an outcome")
}

/// Commits several transactions in one call.
pub async fn commit_all(store: &Backend, transactions: Vec<Transaction>) -> Vec<Outcome> {
    let count = transactions.len();
    let outcomes = store.commit(transactions).await;
    let outcomes = outcomes.expect("commit answers outcomes");
    assert_eq!(outcomes.len(), count, "one outcome per transaction");
    outcomes
}

/// Puts a value, whatever is there.
pub async fn put(store: &Backend, key: &ResourceKey, value: impl Into<Bytes>) -> Revision {
    let put = Transaction::put(key.clone(), Precondition::Any, value);
    revision(&commit(store, put).await)
}

/// Creates an object; returns the revision, or the conflict.
pub async fn create(store: &Backend, key: &ResourceKey, value: impl Into<Bytes>) -> Outcome {
    let put = Transaction::put(key.clone(), Precondition::Absent, value);
    commit(store, put).await
}

/// Updates an object that is at `expected`; returns the revision, or the conflict.
pub async fn update(
    store: &Backend,
    key: &ResourceKey,
    expected: Revision,
    value: impl Into<Bytes>,
) -> Outcome {
    let put = Transaction::put(key.clone(), Precondition::Revision(expected), value);
    commit(store, put).await
}

/// Deletes an object that exists.
pub async fn delete(store: &Backend, key: &ResourceKey) -> Revision {
    let record = format!("deletion record of {}", key.name());
    let delete = Transaction::delete(key.clone(), Precondition::Present, record);
    revision(&commit(store, delete).await)
}

/// Writes a value under each key, in few calls and in the order of the keys.
pub async fn put_many(store: &Backend, keys: &[ResourceKey], value: &Bytes) {
    let puts: Vec<Transaction> = keys
        .chunks(WRITES_PER_TRANSACTION_MAX)
        .map(|keys| Transaction {
            writes: keys
                .iter()
                .map(|key| storage_core::Write {
                    key: key.clone(),
                    precondition: Precondition::Any,
                    op: storage_core::Op::Put(value.clone()),
                })
                .collect(),
            ..Transaction::default()
        })
        .collect();
    for call in puts.chunks(TRANSACTIONS_PER_COMMIT_MAX) {
        for outcome in commit_all(store, call.to_vec()).await {
            revision(&outcome);
        }
    }
}

/// Asserts that a transaction was committed; returns its revision.
#[track_caller]
pub fn revision(outcome: &Outcome) -> Revision {
    match outcome {
        Outcome::Committed { revision } => *revision,
        Outcome::Conflict(conflict) => panic!("expected a commit, got {conflict:?}"),
    }
}

/// Asserts that a transaction was not committed; returns its conflict.
#[track_caller]
pub fn conflict(outcome: &Outcome) -> &Conflict {
    match outcome {
        Outcome::Committed { revision } => panic!("expected a conflict, committed at {revision}"),
        Outcome::Conflict(conflict) => conflict,
    }
}

/// Returns the kind of the error that was expected.
#[track_caller]
pub fn error_kind<T: fmt::Debug>(result: Result<T>) -> ErrorKind {
    match result {
        Ok(answer) => panic!("expected an error, got {answer:?}"),
        Err(error) => {
            let text = error.to_string();
            assert!(!text.ends_with('.'), "{text:?} ends with a full stop");
            assert!(!error.context().is_empty(), "{error:?} says nothing");
            error.kind()
        }
    }
}

/// Returns the newest revision whose changes are readable.
#[must_use]
pub fn head(store: &Backend) -> Revision {
    *store.head().borrow()
}

/// Returns an object, the newest.
pub async fn get(store: &Backend, key: &ResourceKey) -> Option<Stored> {
    store.get(key, None).await.expect("get answers")
}

/// Returns an object as of a revision.
pub async fn get_at(store: &Backend, key: &ResourceKey, at: Revision) -> Option<Stored> {
    store.get(key, Some(at)).await.expect("get answers")
}

/// Returns the newest value of an object as text, or none.
pub async fn text(store: &Backend, key: &ResourceKey) -> Option<String> {
    get(store, key).await.map(|stored| text_of(&stored))
}

/// Returns a value as text.
#[must_use]
pub fn text_of(stored: &Stored) -> String {
    String::from_utf8_lossy(&stored.value).into_owned()
}

/// Returns the names of the items.
#[must_use]
pub fn names(items: &[Stored]) -> Vec<&str> {
    items.iter().map(|item| item.key.name()).collect()
}

/// Returns the revisions of the items.
#[must_use]
pub fn revisions(items: &[Stored]) -> Vec<Revision> {
    items.iter().map(|item| item.revision).collect()
}

/// Returns all items of a list, over all its pages, which must get on.
pub async fn list(store: &Backend, mut query: ListQuery) -> Vec<Stored> {
    let mut items = Vec::new();
    loop {
        let page = store.list(&query).await.expect("list answers");
        items.extend(page.items);
        let Some(next) = page.next else {
            return items;
        };
        assert_ne!(
            query.cursor.as_ref(),
            Some(&next),
            "the next page is this one"
        );
        if let Some(last) = &query.cursor {
            assert!(next.key >= last.key, "{next:?} goes back from {last:?}");
        }
        query = query.after(next);
    }
}

/// Returns all changes after a revision, over as many calls as that takes.
pub async fn changes(store: &Backend, scope: Scope, after: Revision) -> Vec<Arc<Change>> {
    changes_by(store, ChangesQuery::new(scope, after)).await
}

/// Returns all changes that a query asks for, each call limited as the query says.
pub async fn changes_by(store: &Backend, mut query: ChangesQuery) -> Vec<Arc<Change>> {
    let mut all = Vec::new();
    loop {
        let answer = store.changes(&query).await.expect("changes answers");
        assert!(answer.through >= query.after, "through went back");
        // Nothing cut the answer off: it went up to the newest revision.
        if answer.changes.is_empty() {
            return all;
        }
        all.extend(answer.changes);
        assert!(
            answer.through > query.after,
            "changes without getting further"
        );
        query.after = answer.through;
    }
}

/// Compacts until nothing is left to do; returns the sum of the steps and the last horizon.
pub async fn compact(store: &Backend, policy: &Retention) -> Compacted {
    let mut sum = Compacted::default();
    loop {
        let step = store.compact(policy).await.expect("compact answers");
        assert!(step.horizon >= sum.horizon, "the horizon went back");
        sum.horizon = step.horizon;
        sum.changes += step.changes;
        sum.history += step.history;
        sum.trash += step.trash;
        sum.more = step.more;
        if !step.more {
            return sum;
        }
    }
}

/// Returns the policy that keeps everything.
#[must_use]
pub fn keep_all() -> Retention {
    Retention {
        changes_age_min: std::time::Duration::ZERO,
        changes_age_max: None,
        changes_max: None,
        history_per_object: None,
        trash_age_max: None,
        ..Retention::default()
    }
}
