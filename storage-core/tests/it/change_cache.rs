use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use storage_core::layer::{ChangeCache, ChangeCacheLimits};
use storage_core::{
    Change, Changes, ChangesQuery, Error, ErrorKind, Revision, Scope, StorageBackend,
    StorageBackendExt, WatchQuery, watch,
};

use crate::double::{Double, unavailable};
use crate::fixture::{
    all_changes, assert_pending, compact_all, next, next_change, puts, scope, take_changes, within,
    write,
};

type Cache = Arc<ChangeCache<Arc<Double>>>;

fn cache_with(limits: ChangeCacheLimits) -> (Arc<Double>, Cache) {
    let store = Double::new();
    let cache = ChangeCache::with_limits(Arc::clone(&store), limits);
    (store, Arc::new(cache))
}

fn cache() -> (Arc<Double>, Cache) {
    cache_with(ChangeCacheLimits::default())
}

fn keeping(changes: usize) -> ChangeCacheLimits {
    ChangeCacheLimits {
        changes,
        ..ChangeCacheLimits::default()
    }
}

/// A limit that cuts nothing off and tells our queries from those of the cache, which have none.
const OURS: usize = 9_999;

fn after(revision: u64) -> ChangesQuery {
    ChangesQuery::new(Scope::All, Revision::new(revision)).limit(OURS)
}

async fn ask(backend: &impl StorageBackend, query: &ChangesQuery) -> Changes {
    within(backend.changes(query)).await.unwrap()
}

/// Asks the cache, and tells whether the store was asked for just that.
async fn ask_and_see(store: &Double, cache: &Cache, query: &ChangesQuery) -> (Changes, bool) {
    let before = store.asked().len();
    let answer = ask(cache, query).await;
    (answer, store.asked()[before..].contains(query))
}

/// Waits until the cache has seen the head, so that nothing it does comes in between.
async fn settle(cache: &Cache) {
    let head = *cache.head().borrow();
    ask(cache, &ChangesQuery::new(scope("none"), head)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_watchers_see_the_same_and_cost_the_store_one() {
    const WATCHERS: usize = 1_000;
    let (store, cache) = cache();
    let backend: Arc<dyn StorageBackend> = cache;
    let watchers = (0..WATCHERS).map(|_| {
        let mut events = watch(
            Arc::clone(&backend),
            WatchQuery::new(Scope::All, Revision::ZERO),
        )
        .boxed();
        tokio::spawn(async move { take_changes(&mut events, 150).await })
    });
    let watchers: Vec<_> = watchers.collect();
    for _ in 0..50 {
        let transaction = puts("things", &["a", "b", "c"]);
        backend.commit_one(transaction).await.unwrap();
        tokio::task::yield_now().await;
    }
    let seen: Vec<Vec<Arc<Change>>> = within(join_all(watchers))
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert!(store.asked().len() <= 50, "once per commit at most");
    assert_eq!(seen[0], all_changes(&*store, Scope::All).await);
    for other in &seen[1..] {
        let shared = seen[0].iter().zip(other).all(|(a, b)| Arc::ptr_eq(a, b));
        assert!(shared && other.len() == 150);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_the_store() {
    let (store, cache) = cache();
    for n in 0..60_usize {
        let resource = ["things", "others"][n % 2];
        let names = ["a", "b", "c"];
        let transaction = puts(resource, &names[..1 + n % 3]);
        cache.commit_one(transaction).await.unwrap();
    }
    for start in 0..=60 {
        for scope in [Scope::All, scope("things"), scope("none")] {
            for (limit, limit_bytes) in [
                (Some(OURS), None),
                (Some(1), None),
                (Some(7), None),
                (Some(OURS), Some(5)),
            ] {
                let query = ChangesQuery {
                    scope: scope.clone(),
                    limit,
                    limit_bytes,
                    ..after(start)
                };
                let (answer, from_store) = ask_and_see(&store, &cache, &query).await;
                assert!(!from_store, "{query:?}");
                assert_eq!(answer, ask(&store, &query).await, "{query:?}");
            }
        }
    }
    for query in [after(61), after(0).limit(0)] {
        let error = cache.changes(&query).await.unwrap_err();
        let expected = store.changes(&query).await.unwrap_err();
        assert_eq!(error.to_string(), expected.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_reaches_what_was_committed_before() {
    let (store, cache) = cache();
    for expected in 1..=200 {
        let revision = write(&*cache, "things", "a").await;
        assert!(*cache.head().borrow() >= revision);
        let (answer, from_store) = ask_and_see(&store, &cache, &after(expected - 1)).await;
        assert_eq!(answer.through, revision);
        assert_eq!(answer.changes[0].object.revision, revision);
        assert!(!from_store, "it waits for the cache");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_behind_the_cache_reads_the_store_and_expires_with_it() {
    let (store, cache) = cache_with(keeping(10));
    let backend: Arc<dyn StorageBackend> = Arc::clone(&cache) as _;
    let query = WatchQuery::new(Scope::All, Revision::ZERO).buffer(5, 1 << 20);
    let mut slow = watch(backend, query).boxed();
    assert_pending(slow.next());
    for _ in 0..100 {
        write(&*cache, "things", "a").await;
    }
    settle(&cache).await;
    let expected = all_changes(&*store, Scope::All).await;
    let asked = store.asked().len();
    assert_eq!(take_changes(&mut slow, 50).await, expected[..50]);
    assert_eq!(store.asked().len() - asked, 10, "ten answers of the store");
    assert_eq!(compact_all(&*cache).await, Revision::new(100));
    let error = next(&mut slow).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Expired);
    assert!(within(slow.next()).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_keeps_whole_revisions_within_its_limits() {
    // A change of `puts` has some 27 bytes of names and 2 of values.
    let by_bytes = ChangeCacheLimits {
        changes: usize::MAX,
        bytes: 10 * (size_of::<Change>() + 40),
    };
    for limits in [keeping(10), by_bytes] {
        let (store, cache) = cache_with(limits);
        for _ in 0..20 {
            let transaction = puts("things", &["a", "b", "c"]);
            cache.commit_one(transaction).await.unwrap();
        }
        settle(&cache).await;
        for start in 0..=20 {
            let (answer, from_store) = ask_and_see(&store, &cache, &after(start)).await;
            assert_eq!(from_store, start < 17, "three whole revisions fit");
            assert_eq!(answer, ask(&store, &after(start)).await);
        }
    }
}

// One thread, so that the cache does not run before the query waits for it.
#[tokio::test(flavor = "current_thread")]
async fn a_query_that_waited_too_long_for_the_cache_misses_nothing() {
    let (store, cache) = cache_with(keeping(1));
    for _ in 0..5 {
        write(&*store, "things", "a").await;
    }
    assert!(store.asked().is_empty(), "the cache did not run yet");
    let (answer, from_store) = ask_and_see(&store, &cache, &after(0)).await;
    assert!(from_store);
    assert_eq!(answer.changes.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_larger_than_the_cache_comes_from_the_store() {
    let (store, cache) = cache_with(keeping(2));
    let transaction = puts("things", &["a", "b", "c"]);
    cache.commit_one(transaction).await.unwrap();
    settle(&cache).await;
    let (answer, from_store) = ask_and_see(&store, &cache, &after(0)).await;
    assert!(from_store);
    assert_eq!(answer.changes.len(), 3);
    let (answer, from_store) = ask_and_see(&store, &cache, &after(1)).await;
    assert!(!from_store);
    assert_eq!((answer.changes.len(), answer.through.get()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_reaches_the_cache() {
    let (store, cache) = cache();
    for _ in 0..10 {
        write(&*cache, "things", "a").await;
    }
    settle(&cache).await;
    let horizon = compact_all(&*cache).await;
    assert_eq!(horizon, Revision::new(10));
    for start in 0..10 {
        let error = cache.changes(&after(start)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Expired);
    }
    let (_, from_store) = ask_and_see(&store, &cache, &after(10)).await;
    assert!(!from_store);
}

#[tokio::test(start_paused = true)]
async fn while_the_cache_cannot_follow_the_store_answers_and_then_it_recovers() {
    let panics: fn() -> Option<Error> = || panic!("on purpose");
    for failure in [|| Some(unavailable()), panics] {
        let (store, cache) = cache();
        write(&*cache, "things", "a").await;
        settle(&cache).await;
        store.refuse_changes(move |query| match query.limit {
            None => failure(),
            Some(_) => None,
        });
        for n in 2..=10 {
            let revision = write(&*cache, "things", "a").await;
            let query = after(n - 1);
            let (answer, from_store) = ask_and_see(&store, &cache, &query).await;
            assert_eq!((answer.through, from_store), (revision, true));
        }
        let asked = store.asked().len();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let tries = store.asked().len() - asked;
        assert!((30..=60).contains(&tries), "{tries} in a minute");
        store.accept_changes();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let (answer, from_store) = ask_and_see(&store, &cache, &after(1)).await;
        assert!(!from_store, "it has recovered");
        assert_eq!(answer, ask(&store, &after(1)).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_the_store_no_longer_has_starts_the_cache_anew() {
    let (store, cache) = cache();
    write(&*cache, "things", "a").await;
    settle(&cache).await;
    store.refuse_changes(|_| Some(unavailable()));
    for _ in 0..10 {
        write(&*store, "things", "a").await;
    }
    compact_all(&*store).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    store.accept_changes();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let error = cache.changes(&after(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Expired);
    let revision = write(&*cache, "things", "a").await;
    let (answer, from_store) = ask_and_see(&store, &cache, &after(11)).await;
    assert!(!from_store);
    assert_eq!((answer.changes.len(), answer.through), (1, revision));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_hangs_only_those_who_need_it() {
    let (store, cache) = cache();
    write(&*cache, "things", "a").await;
    settle(&cache).await;
    store.hang_changes(|query| query.limit.is_none());
    write(&*cache, "things", "a").await;
    let query = after(1);
    let (answer, from_store) = ask_and_see(&store, &cache, &query).await;
    assert!(from_store, "after a while it stops to wait");
    assert_eq!(answer.through, Revision::new(2));
}

#[tokio::test(start_paused = true)]
async fn a_store_without_progress_is_not_asked_in_a_spin() {
    let store = Double::new();
    store.own_head(Revision::ZERO);
    let cache = ChangeCache::new(Arc::clone(&store));
    // The store has nothing that this head promises.
    store.move_head(Revision::new(5));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!((30..=60).contains(&store.asked().len()));
    let answer = ask(&cache, &after(0)).await;
    assert_eq!(answer.through, Revision::ZERO, "the store's own answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_cache_lets_go_of_the_store() {
    for _ in 0..100 {
        let (store, cache) = cache();
        write(&*cache, "things", "a").await;
        within(cache.shutdown()).await;
        let answer = ask(&cache, &after(0)).await;
        assert_eq!(answer.changes.len(), 1, "it still works");
        drop(cache);
        assert_eq!(Arc::strong_count(&store), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_when_the_store_behind_the_cache_closes() {
    let store = Double::new();
    store.own_head(Revision::ZERO);
    let cache: Arc<dyn StorageBackend> = Arc::new(ChangeCache::new(Arc::clone(&store)));
    let mut events = watch(cache, WatchQuery::new(Scope::All, Revision::ZERO)).boxed();
    assert_pending(events.next());
    let last = write(&*store, "things", "a").await;
    store.move_head(last);
    store.drop_head();
    assert_eq!(next_change(&mut events).await.object.revision, last);
    assert!(within(events.next()).await.is_none());
}
