use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures::{Stream, StreamExt};
use storage_core::{
    Change, ChangeKind, ErrorKind, Op, Precondition, Result, Retention, Revision, Scope,
    Transaction, WatchEvent, WatchQuery, Write, watch,
};
use tokio::time::timeout;

use crate::step::{
    GROUP, RESOURCE, changes, commit, compact, delete, error_kind, head, internal_key, keep_all,
    key, key_in, put, revision, scope,
};
use crate::traffic::{Dice, Traffic, at_once};
use crate::{Backend, Fixture};

/// An event that is not there after this time will never come.
const EVENT_TIMEOUT: Duration = Duration::from_secs(60);

struct Watcher(Pin<Box<dyn Stream<Item = Result<WatchEvent>> + Send>>);

impl Watcher {
    fn new(store: &Backend, query: WatchQuery) -> Self {
        Self(Box::pin(watch(Arc::clone(store), query)))
    }

    fn after(store: &Backend, after: Revision) -> Self {
        Self::new(store, WatchQuery::new(scope(), after))
    }

    async fn next(&mut self) -> Option<Result<WatchEvent>> {
        let next = timeout(EVENT_TIMEOUT, self.0.next()).await;
        next.expect("an event comes in time")
    }

    async fn event(&mut self) -> WatchEvent {
        self.next()
            .await
            .expect("the watch goes on")
            .expect("no error")
    }

    async fn change(&mut self) -> Arc<Change> {
        match self.event().await {
            WatchEvent::Change(change) => change,
            WatchEvent::Bookmark(revision) => panic!("a bookmark of {revision}"),
        }
    }

    async fn changes(&mut self, count: usize) -> Vec<Arc<Change>> {
        let mut changes = Vec::new();
        while changes.len() < count {
            changes.push(self.change().await);
        }
        changes
    }

    async fn bookmark_at_least(&mut self, at: Revision) -> Revision {
        loop {
            if let WatchEvent::Bookmark(bookmark) = self.event().await
                && bookmark >= at
            {
                return bookmark;
            }
        }
    }
}

async fn put_three(store: &Backend, namespace: &str, value: &str) -> Revision {
    let writes = ["x", "y", "z"].map(|name| Write {
        key: key_in(namespace, name),
        precondition: Precondition::Any,
        op: Op::Put(value.to_owned().into()),
    });
    let transaction = Transaction {
        writes: writes.into(),
        ..Transaction::default()
    };
    revision(&commit(store, transaction).await)
}

/// Ordered, unique and reliable: beside writers, a watch gets every change once and in order.
pub async fn a_watch_gets_every_change_once_in_order(t: Fixture) {
    let store = t.open().await;
    let mut from_start = Watcher::after(&store, Revision::ZERO);
    let done = AtomicBool::new(false);
    let stores = [Arc::clone(&store)];
    let (acknowledged, first) =
        tokio::join!(Traffic::SMALL.run(&stores, &done), from_start.changes(100));
    let all = changes(&store, scope(), Revision::ZERO).await;
    let revisions: BTreeSet<_> = all.iter().map(|change| change.object.revision).collect();
    assert!(acknowledged.keys().eq(&revisions));
    assert_eq!(first, all[..100]);
    assert_eq!(from_start.changes(all.len() - 100).await, all[100..]);
    assert_eq!(
        Watcher::after(&store, Revision::ZERO)
            .changes(all.len())
            .await,
        all
    );
}

/// A watch after a revision does not repeat it nor anything before.
pub async fn a_watch_starts_after_its_revision(t: Fixture) {
    let store = t.open().await;
    put(&store, &key("a"), "1").await;
    let mut from_now = Watcher::after(&store, head(&store));
    let second = put(&store, &key("b"), "2").await;
    let third = put(&store, &key("a"), "3").await;
    assert_eq!(from_now.change().await.object.revision, second);
    assert_eq!(from_now.change().await.object.revision, third);
    let mut from_second = Watcher::after(&store, second);
    assert_eq!(from_second.change().await.object.revision, third);
}

/// Atomic: no bookmark falls between two changes of one transaction, whatever the buffer.
pub async fn no_bookmark_falls_into_a_transaction(t: Fixture) {
    let store = t.open().await;
    for round in 0..10 {
        put_three(&store, "ns", &round.to_string()).await;
    }
    for buffer in [1, 2, 3, 4, 1_000] {
        let query = WatchQuery::new(scope(), Revision::ZERO)
            .bookmarks(Duration::ZERO)
            .buffer(buffer, 1 << 20);
        let mut watcher = Watcher::new(&store, query);
        let (mut of_transaction, mut count) = (0, 0);
        let mut bookmark = Revision::ZERO;
        while count < 30 || of_transaction != 0 {
            match watcher.event().await {
                WatchEvent::Change(change) => {
                    assert!(change.object.revision > bookmark);
                    of_transaction = (of_transaction + 1) % 3;
                    count += 1;
                }
                WatchEvent::Bookmark(at) => {
                    assert_eq!(of_transaction, 0, "a bookmark inside a transaction");
                    assert!(
                        at > bookmark || at == Revision::ZERO,
                        "{at} after {bookmark}"
                    );
                    bookmark = at;
                }
            }
        }
    }
}

/// Resumable: cut anywhere between two transactions and resumed, a watch is as if never cut.
pub async fn a_watch_resumes_anywhere(t: Fixture) {
    let store = t.open().await;
    let done = AtomicBool::new(false);
    Traffic::SMALL.run(&[Arc::clone(&store)], &done).await;
    let all = changes(&store, scope(), Revision::ZERO).await;
    let mut dice = Dice::new(3);
    for round in 0..10 {
        let mut seen: Vec<Arc<Change>> = Vec::new();
        while seen.len() < all.len() {
            let after = seen
                .last()
                .map_or(Revision::ZERO, |last| last.object.revision);
            let query = WatchQuery::new(scope(), after).buffer(1 + dice.roll(20), 1 << 20);
            let mut watcher = Watcher::new(&store, query);
            // To the end of a transaction: the next change, if any, is of another revision.
            let mut until = (seen.len() + 1 + dice.roll(60)).min(all.len());
            while until < all.len() && all[until].object.revision == all[until - 1].object.revision
            {
                until += 1;
            }
            seen.extend(watcher.changes(until - seen.len()).await);
        }
        assert_eq!(seen, all, "round {round}");
    }
}

/// Bookmarkable: bookmarks rise and advance while only other objects change; a watch after one
/// misses nothing.
pub async fn bookmarks_advance_while_the_scope_is_idle(t: Fixture) {
    let store = t.open().await;
    let mine = put(&store, &key("a"), "1").await;
    let query = WatchQuery::new(Scope::Object(key("a")), mine).bookmarks(Duration::from_millis(1));
    let mut watcher = Watcher::new(&store, query);
    let mut last = Revision::ZERO;
    for number in 0..5 {
        let other = put(&store, &key_in("other", "b"), number.to_string()).await;
        let bookmark = watcher.bookmark_at_least(other).await;
        assert!(bookmark > last, "{bookmark} after {last}");
        last = bookmark;
    }
    let record = put(&store, &internal_key("a"), "1").await;
    last = watcher.bookmark_at_least(record).await;
    let raised = Revision::new(last.get() + 1_000);
    revision(&commit(&store, Transaction::raise(raised)).await);
    last = watcher.bookmark_at_least(raised).await;
    drop(watcher);
    let second = put(&store, &key("a"), "2").await;
    let mut resumed = Watcher::new(&store, WatchQuery::new(Scope::Object(key("a")), last));
    assert_eq!(resumed.change().await.object.revision, second);
}

/// Filtered: a watch has the changes of its scope and no others.
pub async fn a_watch_is_limited_to_its_scope(t: Fixture) {
    let store = t.open().await;
    for round in 0..5 {
        put_three(&store, "n1", &round.to_string()).await;
        put_three(&store, "n10", &round.to_string()).await;
        put(&store, &internal_key("a"), "1").await;
        delete(&store, &key_in("n1", "x")).await;
    }
    let all = changes(&store, Scope::All, Revision::ZERO).await;
    for scope in [
        Scope::All,
        Scope::group(GROUP),
        Scope::namespace(GROUP, RESOURCE, "n1"),
        Scope::namespace(GROUP, RESOURCE, "n10"),
        Scope::Object(key_in("n1", "x")),
    ] {
        let expected: Vec<_> = all
            .iter()
            .filter(|c| scope.contains(&c.object.key))
            .cloned()
            .collect();
        let query = WatchQuery::new(scope.clone(), Revision::ZERO);
        let mut watcher = Watcher::new(&store, query);
        assert_eq!(watcher.changes(expected.len()).await, expected, "{scope}");
    }
}

/// Each event tells what happened, the value before it, and the deletion record of a deletion.
pub async fn events_tell_what_happened(t: Fixture) {
    let store = t.open().await;
    let mut watcher = Watcher::after(&store, Revision::ZERO);
    let first = put(&store, &key("a"), "1").await;
    let second = put(&store, &key("a"), "2").await;
    let third = delete(&store, &key("a")).await;
    let fourth = put(&store, &key("a"), "4").await;
    let told: Vec<_> = watcher
        .changes(4)
        .await
        .iter()
        .map(|change| {
            let previous = change
                .previous
                .as_ref()
                .map(|p| (p.revision, p.value.clone()));
            (
                change.object.revision,
                change.object.kind,
                change.object.value.clone(),
                previous,
            )
        })
        .collect();
    let expected = [
        (first, ChangeKind::Created, "1".into(), None),
        (
            second,
            ChangeKind::Updated,
            "2".into(),
            Some((first, "1".into())),
        ),
        (
            third,
            ChangeKind::Deleted,
            "deletion record of a".into(),
            Some((second, "2".into())),
        ),
        (fourth, ChangeKind::Created, "4".into(), None),
    ];
    assert_eq!(told, expected);
}

/// A watch that waits is woken by each commit, one after the other.
pub async fn a_waiting_watch_is_woken_by_each_commit(t: Fixture) {
    let store = t.open().await;
    let other = t.second(&store).await;
    let mut watchers = [&store, &other].map(|store| Watcher::after(store, Revision::ZERO));
    for number in 0..15 {
        let waiting = watchers.map(|mut watcher| {
            tokio::spawn(async move {
                let change = watcher.change().await;
                (watcher, change.object.revision)
            })
        });
        tokio::task::yield_now().await;
        let at = put(&store, &key("a"), number.to_string()).await;
        let [here, there] = waiting;
        let ((here, seen_here), (there, seen_there)) = (here.await.unwrap(), there.await.unwrap());
        assert_eq!([seen_here, seen_there], [at, at]);
        watchers = [here, there];
    }
}

/// A watch below the horizon is told that it is expired, as the only thing it is told.
pub async fn a_watch_below_the_horizon_is_expired(t: Fixture) {
    let store = t.open().await;
    let mut written = Vec::new();
    for number in 0..10 {
        written.push(put(&store, &key("a"), number.to_string()).await);
    }
    let policy = Retention {
        changes_max: Some(4),
        ..keep_all()
    };
    let horizon = compact(&store, &policy).await.horizon;
    let mut below = Watcher::after(&store, Revision::new(horizon.get() - 1));
    assert_eq!(error_kind(below.next().await.unwrap()), ErrorKind::Expired);
    assert!(below.next().await.is_none(), "an error is the last item");
    let mut at = Watcher::after(&store, horizon);
    // Revisions rise, they are not counted off one by one.
    let first = written.into_iter().find(|revision| *revision > horizon);
    assert_eq!(Some(at.change().await.object.revision), first);
}

/// A watch that cannot be is told so.
pub async fn a_watch_that_cannot_be_is_refused(t: Fixture) {
    let store = t.open().await;
    put(&store, &key("a"), "1").await;
    let future = WatchQuery::new(scope(), head(&store).next());
    let internal = WatchQuery::new(Scope::Object(internal_key("a")), Revision::ZERO);
    let malformed = WatchQuery::new(Scope::group("a/b"), Revision::ZERO);
    for (query, kind) in [
        (future, ErrorKind::FutureRevision),
        (internal, ErrorKind::Invalid),
        (malformed, ErrorKind::Invalid),
    ] {
        let mut watcher = Watcher::new(&store, query);
        assert_eq!(error_kind(watcher.next().await.unwrap()), kind);
        assert!(watcher.next().await.is_none());
    }
}

/// A watch that nobody reads slows no writer, and has lost nothing when it is read at last.
pub async fn an_unread_watch_slows_no_writer(t: Fixture) {
    let store = t.open().await;
    let small = WatchQuery::new(scope(), Revision::ZERO).buffer(2, 64);
    let mut unread: Vec<_> = (0..20)
        .map(|_| Watcher::new(&store, small.clone()))
        .collect();
    let first = put(&store, &key("first"), "1").await;
    for watcher in &mut unread {
        assert_eq!(watcher.change().await.object.revision, first);
    }
    for round in 0..60 {
        put_three(&store, "ns", &round.to_string()).await;
    }
    let expected = changes(&store, scope(), first).await;
    for watcher in &mut unread {
        assert_eq!(watcher.changes(expected.len()).await, expected);
    }
}

/// A watch that is overtaken by compaction ends with `Expired`; it never skips a change.
pub async fn a_watch_overtaken_by_compaction_skips_nothing(t: Fixture) {
    let store = t.open().await;
    let query = WatchQuery::new(scope(), Revision::ZERO).buffer(3, 1 << 20);
    let mut slow = Watcher::new(&store, query);
    for number in 0..30 {
        put(&store, &key(&(number % 4).to_string()), number.to_string()).await;
    }
    let all = changes(&store, scope(), Revision::ZERO).await;
    let mut seen = slow.changes(5).await;
    let policy = Retention {
        changes_max: Some(3),
        ..keep_all()
    };
    compact(&store, &policy).await;
    loop {
        match slow.next().await {
            Some(Ok(WatchEvent::Change(change))) => seen.push(change),
            Some(Ok(WatchEvent::Bookmark(_))) => panic!("nobody asked for bookmarks"),
            Some(Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::Expired);
                break;
            }
            None => panic!("the watch ended without a reason"),
        }
        if seen.len() == all.len() {
            break;
        }
    }
    assert_eq!(seen, all[..seen.len()]);
    assert!(slow.0.next().await.is_none() || seen.len() == all.len());
}

/// Many watches at once, of different scopes, each get all of theirs beside the writers.
pub async fn many_watches_get_all_of_theirs(t: Fixture) {
    let store = t.open().await;
    let watching = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            at_once(60, |number| {
                let namespace = format!("n{}", number % 6);
                let scope = Scope::namespace(GROUP, RESOURCE, namespace);
                let mut watcher = Watcher::new(&store, WatchQuery::new(scope, Revision::ZERO));
                async move { watcher.changes(15).await }
            })
            .await
        })
    };
    for round in 0..5 {
        for number in 0..6 {
            put_three(&store, &format!("n{number}"), &round.to_string()).await;
        }
    }
    for (number, seen) in watching.await.unwrap().into_iter().enumerate() {
        let namespace = format!("n{}", number % 6);
        let scope = Scope::namespace(GROUP, RESOURCE, namespace);
        assert_eq!(seen, changes(&store, scope, Revision::ZERO).await);
    }
}

/// A list and a watch after it make the newest state, with no gap between the two.
pub async fn a_watch_joins_a_list(t: Fixture) {
    let store = t.open().await;
    let done = Arc::new(AtomicBool::new(false));
    let writers = {
        let (store, done) = ([Arc::clone(&store)], Arc::clone(&done));
        tokio::spawn(async move { Traffic::SMALL.run(&store, &done).await })
    };
    let mut joined = Vec::new();
    while !done.load(std::sync::atomic::Ordering::SeqCst) {
        let page = store
            .list(&storage_core::ListQuery::live(scope()))
            .await
            .unwrap();
        let watcher = Watcher::after(&store, page.revision);
        if joined.len() < 30 {
            joined.push((page, watcher));
        }
        tokio::task::yield_now().await;
    }
    writers.await.unwrap();
    let last = put(&store, &key("last"), "1").await;
    let newest = crate::step::list(&store, storage_core::ListQuery::live(scope())).await;
    for (page, mut watcher) in joined {
        let mut state: std::collections::BTreeMap<_, _> = page
            .items
            .into_iter()
            .map(|item| (item.key.clone(), item))
            .collect();
        loop {
            let change = watcher.change().await;
            assert!(change.object.revision > page.revision);
            match change.object.kind {
                ChangeKind::Deleted => state.remove(&change.object.key),
                ChangeKind::Created | ChangeKind::Updated => {
                    state.insert(change.object.key.clone(), change.object.clone())
                }
            };
            if change.object.revision == last {
                break;
            }
        }
        assert!(state.values().eq(&newest));
    }
}
