use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use storage_core::{
    BackendInfo, ChangeKind, Changes, ChangesQuery, Compacted, Error, ErrorKind, ListQuery,
    ManualClock, Memory, OperationId, Order, Outcome, Page, Precondition, ResourceKey,
    ResourceStats, Result, Retention, Revision, Scope, StorageBackend, StorageBackendExt, Stored,
    Timestamp, Transaction,
};
use tokio::sync::watch;
use unistore::copy::{PLACEHOLDER, copy};
use unistore::diff::{Difference, Record, What, diff};

fn key(name: &str) -> ResourceKey {
    ResourceKey::new("g", "things", "default", name).unwrap()
}

fn put(name: &str, value: &'static str) -> Transaction {
    Transaction::put(key(name), Precondition::Any, value)
}

fn delete(name: &str) -> Transaction {
    Transaction::delete(key(name), Precondition::Present, format!("{name} is gone"))
}

/// A store with all that there can be: updates, trash, second lives, transactions of several
/// objects, holes between revisions, control records.
async fn populated() -> (Arc<ManualClock>, Arc<Memory>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000)));
    let store = Arc::new(Memory::with_clock(clock.clone()));
    let internal = ResourceKey::internal("r", "", "n").unwrap();
    let cluster_wide = ResourceKey::new("h", "others", "", "both").unwrap();
    let mut both = put("both", "1");
    both.writes
        .extend(Transaction::put(cluster_wide, Precondition::Any, "2").writes);
    for (n, transaction) in [
        put("a", "1"),
        put("b", ""),
        both,
        put("a", "2"),
        Transaction::put(internal, Precondition::Any, "control"),
        delete("b"),
        put("b", "second life"),
        delete("both"),
        Transaction::raise(Revision::new(100)),
        put("a", "3"),
        put("last", "x"),
        delete("last"),
    ]
    .into_iter()
    .enumerate()
    {
        clock.advance(Duration::from_secs(1));
        let operation = OperationId(n as u128 + 1);
        store
            .commit_one(transaction.operation(operation))
            .await
            .unwrap();
    }
    (clock, store)
}

/// Drops all that a policy of this kind may drop.
async fn compact(clock: &ManualClock, store: &dyn StorageBackend, policy: Retention) {
    clock.advance(Duration::from_secs(1_000));
    let policy = Retention {
        changes_age_min: Duration::ZERO,
        changes_age_max: Some(Duration::ZERO),
        ..policy
    };
    while store.compact(&policy).await.unwrap().more {}
}

async fn history(store: &dyn StorageBackend) -> Vec<Stored> {
    let all = ListQuery::history(Scope::All, Order::Ascending);
    store.list_all(all).await.unwrap()
}

async fn live_keys(store: &dyn StorageBackend) -> Vec<ResourceKey> {
    let live = store.list_all(ListQuery::live(Scope::All)).await.unwrap();
    live.into_iter().map(|stored| stored.key).collect()
}

async fn differences(first: &dyn StorageBackend, second: &dyn StorageBackend) -> Vec<Difference> {
    let mut found = Vec::new();
    diff(first, second, |difference| found.push(difference))
        .await
        .unwrap();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_equal_down_to_revisions_times_and_requests() {
    let (_, source) = populated().await;
    let target = Memory::new();
    let mut told = Vec::new();
    let copied = copy(&source, &target, |copied| told.push(copied))
        .await
        .unwrap();
    assert_eq!(history(&source).await, history(&target).await);
    assert_eq!(differences(&source, &target).await, []);
    let records = history(&source).await.len() as u64;
    assert_eq!((copied.records, copied.done), (records, records));
    assert_eq!(copied.renumbered, 0);
    assert_eq!(told.last(), Some(&copied));
    // What comes next is newer than everything that clients of the source have seen.
    let next = target.commit_one(put("next", "1")).await.unwrap();
    assert!(next.revision().unwrap() > *source.head().borrow());
    let control = ListQuery::live(Scope::group(storage_core::INTERNAL_GROUP));
    assert_eq!(target.list_all(control).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_cut_off_goes_on_where_it_ended() {
    let (_, source) = populated().await;
    for answered in 0.. {
        let target = stops_after(answered);
        let first = copy(&source, &target, |_| {}).await;
        if first.is_ok() {
            assert!(answered > 2, "nothing was interrupted");
            break;
        }
        let second = copy(&source, &target.store, |_| {}).await.unwrap();
        assert_eq!(second.done, second.records);
        assert_eq!(history(&source).await, history(&target.store).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_source_purged_between_two_runs_goes_from_the_target() {
    let (clock, source) = populated().await;
    // "both" is copied alive; its deletion record is not reached.
    let target = stops_after(4);
    copy(&source, &target, |_| {}).await.unwrap_err();
    assert!(live_keys(&target.store).await.contains(&key("both")));
    let policy = Retention {
        trash_age_max: Some(Duration::from_secs(1)),
        ..Retention::default()
    };
    compact(&clock, &source, policy).await;
    let trash = ListQuery::trash(Scope::All);
    assert_eq!(source.list_all(trash).await.unwrap(), []);
    copy(&source, &target.store, |_| {}).await.unwrap();
    assert_eq!(live_keys(&source).await, live_keys(&target.store).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_record_without_a_past_is_copied() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000)));
    let source = Memory::with_clock(clock.clone());
    for transaction in [put("a", "1"), delete("a"), put("b", "1")] {
        source.commit_one(transaction).await.unwrap();
    }
    let policy = Retention {
        history_per_object: Some(1),
        ..Retention::default()
    };
    compact(&clock, &source, policy).await;
    let kinds: Vec<_> = history(&source).await.iter().map(|s| s.kind).collect();
    assert_eq!(kinds, [ChangeKind::Deleted, ChangeKind::Created]);
    let target = Memory::new();
    copy(&source, &target, |_| {}).await.unwrap();
    let trash = target.list_all(ListQuery::trash(Scope::All)).await.unwrap();
    assert_eq!(trash.len(), 1);
    assert_eq!(trash[0].value, "a is gone");
    assert_eq!(history(&target).await[0].operation, PLACEHOLDER);
    assert_eq!(differences(&source, &target).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_holds_something_else_is_refused() {
    let (_, source) = populated().await;
    let target = Memory::new();
    target.commit_one(put("mine", "1")).await.unwrap();
    let refused = copy(&source, &target, |_| {}).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    assert_eq!(history(&target).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_writer_stops_the_copy() {
    let (_, source) = populated().await;
    let target = stops_after(3);
    copy(&source, &target, |_| {}).await.unwrap_err();
    let target = Troubled {
        trouble: Trouble::HasAnotherWriter,
        ..target
    };
    let refused = copy(&source, &target, |_| {}).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_difference_is_found() {
    let (_, first) = populated().await;
    let second = Memory::new();
    copy(&first, &second, |_| {}).await.unwrap();
    let of = |record, what| Difference {
        key: key("more"),
        record,
        what,
    };
    // An object more, in the second store and in the first one.
    second.commit_one(put("more", "1")).await.unwrap();
    let more = [
        of(Record::Live, What::OnlyInSecond),
        of(Record::History(1), What::OnlyInSecond),
    ];
    assert_eq!(differences(&first, &second).await, more);
    let swapped = differences(&second, &first).await;
    assert!(swapped.iter().all(|d| d.what == What::OnlyInFirst));
    assert_eq!(swapped.len(), 2);
    // Another value, time and request of the same revision.
    let unequal = put("more", "2").operation(OperationId(9));
    first.commit_one(unequal).await.unwrap();
    let found = differences(&first, &second).await;
    for what in [What::Value, What::Time, What::Operation] {
        assert!(found.contains(&of(Record::History(1), what)), "{found:?}");
        assert!(found.contains(&of(Record::Live, what)));
    }
    assert_eq!(
        of(Record::History(1), What::Value).to_string(),
        "g/things/default/more: revision 1 of its history has different values"
    );
    // A revision more of an object, and a deletion.
    first.commit_one(delete("more")).await.unwrap();
    let found = differences(&first, &second).await;
    assert!(found.contains(&of(Record::Trash, What::OnlyInFirst)));
    assert!(found.contains(&of(Record::History(2), What::OnlyInFirst)));
    assert!(found.contains(&of(Record::Live, What::OnlyInSecond)));
}

/// A store with a trouble.
#[derive(Debug)]
struct Troubled {
    store: Memory,
    trouble: Trouble,
}

#[derive(Debug)]
enum Trouble {
    /// It takes so many transactions, one at a time, and fails then.
    StopsAfter(AtomicUsize),
    /// Somebody else writes to it just before each commit.
    HasAnotherWriter,
}

fn stops_after(transactions: usize) -> Troubled {
    Troubled {
        store: Memory::new(),
        trouble: Trouble::StopsAfter(AtomicUsize::new(transactions)),
    }
}

#[async_trait]
impl StorageBackend for Troubled {
    async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>> {
        let left = match &self.trouble {
            Trouble::StopsAfter(left) => left,
            Trouble::HasAnotherWriter => {
                self.store.commit_one(put("intruder", "1")).await?;
                return self.store.commit(transactions).await;
            }
        };
        let mut outcomes = Vec::new();
        for transaction in transactions {
            if left.load(Ordering::Relaxed) == 0 {
                let lost = Error::new(ErrorKind::Indeterminate, "commit", "the power went");
                return Err(lost);
            }
            left.fetch_sub(1, Ordering::Relaxed);
            outcomes.push(self.store.commit_one(transaction).await?);
        }
        Ok(outcomes)
    }

    fn info(&self) -> &BackendInfo {
        self.store.info()
    }
    async fn get(&self, key: &ResourceKey, at: Option<Revision>) -> Result<Option<Stored>> {
        self.store.get(key, at).await
    }
    async fn list(&self, query: &ListQuery) -> Result<Page> {
        self.store.list(query).await
    }
    async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        self.store.changes(query).await
    }
    async fn compact(&self, policy: &Retention) -> Result<Compacted> {
        self.store.compact(policy).await
    }
    async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        self.store.stats(scope).await
    }
    fn head(&self) -> watch::Receiver<Revision> {
        self.store.head()
    }
}
