use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use storage_core::limits::{WATCH_BUFFER_BYTES_MAX, WATCH_BUFFER_CHANGES_MAX};
use storage_core::{
    ChangeKind, ErrorKind, INTERNAL_GROUP, Memory, Precondition, Result, Revision, Scope,
    StorageBackend, StorageBackendExt, Transaction, WatchEvent, WatchQuery,
};

use crate::double::{Double, unavailable};
use crate::fixture::{
    all_changes, assert_pending, compact_all, key, next, next_change, puts, scope, take_changes,
    within, write,
};

const INTERVAL: Duration = Duration::from_secs(10);

type Events = BoxStream<'static, Result<WatchEvent>>;

fn watch(backend: &Arc<impl StorageBackend>, query: WatchQuery) -> Events {
    storage_core::watch(Arc::clone(backend) as Arc<dyn StorageBackend>, query).boxed()
}

fn all_after(after: Revision) -> WatchQuery {
    WatchQuery::new(Scope::All, after)
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_come_in_order_and_each_once() {
    let store = Arc::new(Memory::new());
    let query = all_after(Revision::ZERO)
        .bookmarks(Duration::ZERO)
        .buffer(3, 10);
    let mut events = watch(&store, query);
    let watcher = tokio::spawn(async move { take_changes(&mut events, 8 * 100 * 2).await });
    let writers = (0..8).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 0..100 {
                let names = [format!("{writer}-{n}"), format!("{writer}-last")];
                let transaction = puts("things", &[&names[0], &names[1]]);
                store.commit_one(transaction).await.unwrap();
                tokio::task::yield_now().await;
            }
        })
    });
    futures::future::try_join_all(writers).await.unwrap();
    let seen = within(watcher).await.unwrap();
    assert_eq!(seen, all_changes(&*store, Scope::All).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bookmark_never_falls_inside_a_transaction() {
    let store = Arc::new(Memory::new());
    for _ in 0..20 {
        let transaction = puts("things", &["a", "b", "c"]);
        store.commit_one(transaction).await.unwrap();
    }
    let query = all_after(Revision::ZERO)
        .bookmarks(Duration::ZERO)
        .buffer(1, 1);
    let mut events = watch(&store, query);
    let mut of_revision = 0;
    for expected in 1..=20 {
        loop {
            match next(&mut events).await.unwrap() {
                WatchEvent::Change(change) => {
                    assert_eq!(change.object.revision, Revision::new(expected));
                    of_revision += 1;
                }
                WatchEvent::Bookmark(revision) => {
                    assert_eq!(revision, Revision::new(expected));
                    break;
                }
            }
        }
        assert_eq!(std::mem::take(&mut of_revision), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_resumes_at_every_revision() {
    let store = Arc::new(Memory::new());
    for n in 0..30 {
        let names = ["a", "b", &n.to_string()];
        let transaction = puts("things", &names[..1 + n % 3]);
        store.commit_one(transaction).await.unwrap();
    }
    let all = all_changes(&*store, Scope::All).await;
    for after in 0..=30 {
        let after = Revision::new(after);
        let expected: Vec<_> = all
            .iter()
            .filter(|change| change.object.revision > after)
            .cloned()
            .collect();
        let mut events = watch(&store, all_after(after).buffer(4, usize::MAX));
        assert_eq!(take_changes(&mut events, expected.len()).await, expected);
        assert_pending(events.next());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_says_what_was_before() {
    let store = Arc::new(Memory::new());
    let mut events = watch(&store, all_after(Revision::ZERO));
    let created = write(&*store, "things", "a").await;
    let deleted = store
        .delete(key("things", "a"), created, "gone".into())
        .await;
    let first = next_change(&mut events).await;
    assert_eq!(
        (first.object.kind, &first.previous),
        (ChangeKind::Created, &None)
    );
    let second = next_change(&mut events).await;
    assert_eq!(second.object.kind, ChangeKind::Deleted);
    assert_eq!(second.object.revision, deleted.unwrap());
    assert_eq!(second.object.value, "gone");
    let previous = second.previous.as_ref().unwrap();
    assert_eq!(
        (previous.revision, &previous.value[..]),
        (created, &b"a"[..])
    );
}

#[tokio::test(start_paused = true)]
async fn a_scope_sees_only_its_changes_and_its_bookmarks_advance() {
    let store = Arc::new(Memory::new());
    let query = WatchQuery::new(scope("mine"), Revision::ZERO).bookmarks(INTERVAL);
    let mut events = watch(&store, query);
    assert_pending(events.next());
    let mine = write(&*store, "mine", "a").await;
    let other = write(&*store, "others", "a").await;
    assert_eq!(next_change(&mut events).await.object.revision, mine);
    let started = tokio::time::Instant::now();
    assert_eq!(
        next(&mut events).await.unwrap(),
        WatchEvent::Bookmark(other)
    );
    assert_eq!(started.elapsed(), INTERVAL);
    let other = write(&*store, "others", "a").await;
    assert_eq!(
        next(&mut events).await.unwrap(),
        WatchEvent::Bookmark(other)
    );
    assert_eq!(started.elapsed(), 2 * INTERVAL);
}

#[tokio::test(start_paused = true)]
async fn bookmarks_rise_strictly_and_an_idle_store_sends_none() {
    let store = Arc::new(Memory::new());
    let first = write(&*store, "things", "a").await;
    let mut events = watch(&store, all_after(first).bookmarks(INTERVAL));
    let silence = tokio::time::timeout(60 * INTERVAL, events.next());
    assert!(silence.await.is_err(), "a bookmark without news");
    // A raise moves the head without a change.
    let raised = Revision::new(1000);
    store.commit_one(Transaction::raise(raised)).await.unwrap();
    assert_eq!(
        next(&mut events).await.unwrap(),
        WatchEvent::Bookmark(raised)
    );
    let silence = tokio::time::timeout(60 * INTERVAL, events.next());
    assert!(silence.await.is_err(), "the same bookmark twice");
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_bookmarks_sends_none() {
    let store = Arc::new(Memory::new());
    let mut events = watch(&store, WatchQuery::new(scope("mine"), Revision::ZERO));
    write(&*store, "others", "a").await;
    let silence = tokio::time::timeout(60 * INTERVAL, events.next());
    assert!(silence.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_idle_watch_does_not_poll_the_store() {
    let store = Double::new();
    let mut events = watch(&store, all_after(Revision::ZERO).bookmarks(INTERVAL));
    let silence = tokio::time::timeout(60 * INTERVAL, events.next());
    assert!(silence.await.is_err());
    assert_eq!(store.asked().len(), 1, "only the first look");
    write(&*store, "things", "a").await;
    next_change(&mut events).await;
    assert_eq!(store.asked().len(), 2, "once per move of the head");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_watcher_slows_no_writer_and_holds_one_answer() {
    let store = Double::new();
    let mut events = watch(&store, all_after(Revision::ZERO).buffer(10, 1 << 20));
    write(&*store, "things", "a").await;
    next_change(&mut events).await;
    for _ in 0..2_000 {
        write(&*store, "things", "a").await;
    }
    assert_eq!(store.asked().len(), 1, "nothing is fetched ahead");
    let seen = take_changes(&mut events, 2_000).await;
    assert_eq!(seen, all_changes(&*store, Scope::All).await[1..]);
    assert_eq!(store.asked().len(), 1 + 200 + 1);
    assert!(store.asked()[..201].iter().all(|q| q.limit == Some(10)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buffer_has_a_largest_size() {
    let store = Double::new();
    for query in [
        all_after(Revision::ZERO),
        all_after(Revision::ZERO).buffer(usize::MAX, usize::MAX),
    ] {
        assert_pending(watch(&store, query).next());
    }
    for query in store.asked() {
        assert_eq!(query.limit, Some(WATCH_BUFFER_CHANGES_MAX));
        assert_eq!(query.limit_bytes, Some(WATCH_BUFFER_BYTES_MAX));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_is_the_last_item_when_the_changes_are_gone() {
    let store = Arc::new(Memory::new());
    let mut events = watch(&store, all_after(Revision::ZERO).buffer(2, 1 << 20));
    for _ in 0..10 {
        write(&*store, "things", "a").await;
    }
    next_change(&mut events).await;
    let horizon = compact_all(&*store).await;
    let second = next_change(&mut events).await;
    assert_eq!(second.object.revision, Revision::new(2), "it was fetched");
    let error = next(&mut events).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Expired);
    assert!(within(events.next()).await.is_none());
    assert!(within(events.next()).await.is_none(), "fused");
    let mut events = watch(&store, all_after(horizon));
    let fresh = write(&*store, "things", "a").await;
    assert_eq!(next_change(&mut events).await.object.revision, fresh);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passing_error_ends_the_watch_and_the_caller_resumes() {
    let store = Double::new();
    let mut events = watch(&store, all_after(Revision::ZERO));
    let first = write(&*store, "things", "a").await;
    assert_eq!(next_change(&mut events).await.object.revision, first);
    store.refuse_changes(|_| Some(unavailable()));
    let second = write(&*store, "things", "a").await;
    let error = next(&mut events).await.unwrap_err();
    assert!(error.is_retryable());
    assert!(within(events.next()).await.is_none());
    store.accept_changes();
    let mut events = watch(&store, all_after(first));
    assert_eq!(next_change(&mut events).await.object.revision, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_query_is_refused_at_once() {
    let store = Arc::new(Memory::new());
    let cases = [
        (all_after(Revision::new(1)), ErrorKind::FutureRevision),
        (
            WatchQuery::new(Scope::group(INTERNAL_GROUP), Revision::ZERO),
            ErrorKind::Invalid,
        ),
        (all_after(Revision::ZERO).buffer(0, 1), ErrorKind::Invalid),
        (all_after(Revision::ZERO).buffer(1, 0), ErrorKind::Invalid),
    ];
    for (query, kind) in cases {
        let mut events = watch(&store, query);
        assert_eq!(next(&mut events).await.unwrap_err().kind(), kind);
        assert!(within(events.next()).await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_cleanly_when_the_backend_closes() {
    let store = Double::new();
    store.own_head(Revision::ZERO);
    let mut events = watch(&store, all_after(Revision::ZERO));
    assert_pending(events.next());
    let last = write(&*store, "things", "a").await;
    store.move_head(last);
    store.drop_head();
    assert_eq!(next_change(&mut events).await.object.revision, last);
    assert!(within(events.next()).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_changes_is_an_error_not_a_spin() {
    let store = Double::new();
    store.own_head(Revision::new(5));
    let mut events = watch(&store, all_after(Revision::ZERO));
    let error = next(&mut events).now_or_never().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert_eq!(error.context(), "no changes up to 0 where the head is 5");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_watch_leaves_nothing_behind() {
    let store = Arc::new(Memory::new());
    let mut events = watch(&store, all_after(Revision::ZERO));
    assert_pending(events.next());
    drop(events);
    assert_eq!(Arc::strong_count(&store), 1);
    let transaction = Transaction::put(key("things", "a"), Precondition::Absent, "a");
    store.commit_one(transaction).await.unwrap();
}
