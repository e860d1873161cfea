use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use storage_core::{
    Change, ChangeKind, ChangesQuery, ErrorKind, ListQuery, Op, Page, Precondition, ResourceKey,
    Retention, Revision, Scope, Stored, Transaction, Write,
};
use tokio::task::JoinHandle;

use crate::step::{changes, commit, compact, get, keep_all, key, key_in, put, revision, scope};
use crate::traffic::{Acknowledged, Traffic, at_once, expect_acknowledged, follow};
use crate::{Backend, Fixture};

/// Readers of lists and changes never see a part of a transaction.
pub async fn no_reader_sees_half_a_transaction(t: Fixture) {
    let store = t.open().await;
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let store = t.second(&store).await;
        until_done(&done, move || {
            let store = Arc::clone(&store);
            async move {
                let page = store.list(&ListQuery::live(scope())).await.unwrap();
                let values: Vec<_> = page
                    .items
                    .iter()
                    .map(|item| (&item.value, item.revision))
                    .collect();
                assert!(values.windows(2).all(|two| two[0] == two[1]), "{values:?}");
                assert!(matches!(values.len(), 0 | 3), "{values:?}");
            }
        })
    };
    for round in 0..60 {
        let mut transaction = Transaction::default();
        for name in ["a", "b", "c"] {
            transaction = transaction.and(Write {
                key: key(name),
                precondition: Precondition::Any,
                op: if round % 5 == 4 {
                    Op::Delete("x".into())
                } else {
                    Op::Put(round.to_string().into())
                },
            });
        }
        revision(&commit(&store, transaction).await);
    }
    done.store(true, Ordering::SeqCst);
    reader.await.unwrap();
}

/// Every page that is read beside writers shows the objects exactly as of its revision.
pub async fn pages_beside_writers_are_snapshots(t: Fixture) {
    let store = t.open().await;
    let done = Arc::new(AtomicBool::new(false));
    let pages = Arc::new(Mutex::new(Vec::<Page>::new()));
    let reader = {
        let (store, pages) = (Arc::clone(&store), Arc::clone(&pages));
        until_done(&done, move || {
            let (store, pages) = (Arc::clone(&store), Arc::clone(&pages));
            async move {
                let whole = whole_list(&store).await;
                pages.lock().push(whole);
            }
        })
    };
    let acknowledged = Traffic::SMALL.run(&[Arc::clone(&store)], &done).await;
    reader.await.unwrap();
    let replay = expect_acknowledged(&store, &acknowledged).await;
    for page in pages.lock().iter() {
        assert_eq!(
            page.items,
            replay.list_at(&Scope::All, page.revision),
            "at {}",
            page.revision
        );
    }
}

/// Reads a list in pages of two, and returns it as one.
async fn whole_list(store: &Backend) -> Page {
    let mut whole = store
        .list(&ListQuery::live(scope()).limit(2))
        .await
        .unwrap();
    while let Some(cursor) = whole.next.take() {
        let next = store
            .list(&ListQuery::live(scope()).limit(2).after(cursor))
            .await
            .unwrap();
        assert_eq!(next.revision, whole.revision);
        whole.items.extend(next.items);
        whole.next = next.next;
    }
    whole
}

/// A follower of `head` and `changes` gets every change once and in order, with nothing added
/// later to what it was told is complete.
pub async fn changes_beside_writers_are_complete(t: Fixture) {
    let store = t.open().await;
    let done = Arc::new(AtomicBool::new(false));
    let followers: Vec<_> = [1, 3, 10_000]
        .into_iter()
        .map(|limit| tokio::spawn(follow(Arc::clone(&store), limit, Arc::clone(&done))))
        .collect();
    let acknowledged = Traffic::SMALL.run(&[Arc::clone(&store)], &done).await;
    let replay = expect_acknowledged(&store, &acknowledged).await;
    // Wakes the followers that wait for a revision after they saw that all is done.
    put(&store, &key_in("last", "a"), "1").await;
    for follower in followers {
        let followed = follower.await.unwrap();
        assert_eq!(followed[..replay.changes().len()], *replay.changes());
    }
}

/// Counts are exact at every moment: what moves from one namespace to another is counted once.
pub async fn counts_are_exact_beside_writers(t: Fixture) {
    let store = t.open().await;
    for number in 0..6 {
        put(&store, &key_in("left", &number.to_string()), "1").await;
    }
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let store = Arc::clone(&store);
        until_done(&done, move || {
            let store = Arc::clone(&store);
            async move {
                let stats = store.stats(&scope()).await.unwrap();
                let total: u64 = stats.iter().map(|stats| stats.count).sum();
                assert_eq!(total, 6, "{stats:?}");
                assert!(stats.iter().all(|stats| stats.count > 0));
            }
        })
    };
    at_once(6, |number| {
        let store = Arc::clone(&store);
        async move {
            for round in 0..10 {
                let sides = [["left", "right"], ["right", "left"]][round % 2];
                let there = key_in(sides[1], &number.to_string());
                let move_over = Transaction::delete(
                    key_in(sides[0], &number.to_string()),
                    Precondition::Present,
                    "x",
                )
                .and(
                    Transaction::put(there, Precondition::Absent, "1")
                        .writes
                        .remove(0),
                );
                revision(&commit(&store, move_over).await);
            }
        }
    })
    .await;
    done.store(true, Ordering::SeqCst);
    reader.await.unwrap();
    let stats = store.stats(&scope()).await.unwrap();
    assert_eq!(stats.len(), 1);
    assert_eq!((&*stats[0].namespace, stats[0].count), ("left", 6));
}

/// Compaction beside writers and readers: nothing that is read is wrong, only expired.
pub async fn compaction_goes_on_beside_writers(t: Fixture) {
    let store = t.open().await;
    let done = Arc::new(AtomicBool::new(false));
    let policy = Retention {
        changes_max: Some(15),
        history_per_object: Some(2),
        trash_age_max: Some(Duration::ZERO),
        step_max: 10,
        ..keep_all()
    };
    let compacting = [(); 2].map(|()| {
        let (store, policy) = (Arc::clone(&store), policy.clone());
        let horizon = Arc::new(Mutex::new(Revision::ZERO));
        until_done(&done, move || {
            let (store, policy) = (Arc::clone(&store), policy.clone());
            let horizon = Arc::clone(&horizon);
            async move {
                let step = store.compact(&policy).await.unwrap();
                let mut last = horizon.lock();
                assert!(step.horizon >= *last, "the horizon went back");
                *last = step.horizon;
            }
        })
    });
    let follower = tokio::spawn(follow_or_list(Arc::clone(&store), Arc::clone(&done)));
    let acknowledged = Traffic::SMALL.run(&[Arc::clone(&store)], &done).await;
    for task in compacting {
        task.await.unwrap();
    }
    put(&store, &key_in("last", "a"), "1").await;
    let followed = follower.await.unwrap();
    let newest = store.list(&ListQuery::live(scope())).await.unwrap();
    assert_eq!(followed, newest.items, "a follower lost something");
    expect_newest(&store, &acknowledged).await;
    let done = compact(&store, &policy).await;
    assert_eq!(
        store.list(&ListQuery::live(scope())).await.unwrap().items,
        newest.items
    );
    let at_horizon = store
        .list(&ListQuery::live(scope()).at(done.horizon))
        .await
        .unwrap();
    replay_from(&store, at_horizon, &newest.items).await;
}

/// Follows the store as an informer does: lists, applies changes, lists again when expired.
async fn follow_or_list(store: Backend, done: Arc<AtomicBool>) -> Vec<Stored> {
    let mut head = store.head();
    let mut page = store.list(&ListQuery::live(scope())).await.unwrap();
    loop {
        let shown = *head.borrow_and_update();
        while page.revision < shown {
            match store
                .changes(&ChangesQuery::new(scope(), page.revision).limit(3))
                .await
            {
                Ok(answer) => {
                    apply(&mut page.items, &answer.changes);
                    page.revision = answer.through;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Expired);
                    page = store.list(&ListQuery::live(scope())).await.unwrap();
                }
            }
        }
        let last = page.items.iter().any(|item| item.key.namespace() == "last");
        if done.load(Ordering::SeqCst) && last {
            return page.items;
        }
        head.changed().await.unwrap();
    }
}

/// Applies changes to a list, and checks that they fit it.
fn apply(items: &mut Vec<Stored>, changes: &[Arc<Change>]) {
    for change in changes {
        let place = items.binary_search_by(|item| item.key.cmp(&change.object.key));
        let before = place.ok().map(|index| items[index].revision);
        assert_eq!(
            change.previous.as_ref().map(|p| p.revision),
            before,
            "{change:?}"
        );
        match (place, change.object.kind) {
            (Ok(index), ChangeKind::Deleted) => drop(items.remove(index)),
            (Ok(index), _) => items[index] = change.object.clone(),
            (Err(index), _) => items.insert(index, change.object.clone()),
        }
    }
}

/// The changes from a list on must lead to the newest objects.
async fn replay_from(store: &Backend, mut page: Page, newest: &[Stored]) {
    apply(
        &mut page.items,
        &changes(store, scope(), page.revision).await,
    );
    assert_eq!(page.items, newest);
}

/// Each object is as its last acknowledged transaction left it.
async fn expect_newest(store: &Backend, acknowledged: &Acknowledged) {
    let mut newest = BTreeMap::<&ResourceKey, _>::new();
    for (at, changed) in acknowledged {
        for (key, value) in changed {
            newest.insert(key, value.as_ref().map(|value| (*at, value.clone())));
        }
    }
    for (key, expected) in newest {
        let stored = get(store, key)
            .await
            .map(|stored| (stored.revision, stored.value));
        assert_eq!(stored, expected, "{key}");
    }
}

/// Runs a reader until the writers are done, and once more after that.
fn until_done<F>(done: &Arc<AtomicBool>, read: impl Fn() -> F + Send + 'static) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send,
{
    let done = Arc::clone(done);
    tokio::spawn(async move {
        loop {
            let last = done.load(Ordering::SeqCst);
            read().await;
            if last {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
}
