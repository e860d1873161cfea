use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use storage_core::{
    ChangesQuery, ErrorKind, ListQuery, Op, Outcome, Page, Precondition, ResourceKey, Retention,
    Revision, Scope, StorageBackendExt, Transaction, Write,
};

use crate::check::Replay;
use crate::step::{
    changes, commit, compact, conflict, create, delete, get, head, keep_all, key, key_in, list,
    put, revision, scope, text, update,
};
use crate::traffic::{Dice, Traffic, at_once, expect_acknowledged};
use crate::{Backend, Fixture};

/// Checks that one outcome is a commit and each other a conflict that shows `actual`.
fn one_winner(outcomes: &[Outcome], actual: impl Fn(Revision) -> Option<Revision>) -> Revision {
    let winners: Vec<_> = outcomes.iter().filter_map(Outcome::revision).collect();
    assert_eq!(
        winners.len(),
        1,
        "{} of {} won",
        winners.len(),
        outcomes.len()
    );
    for outcome in outcomes
        .iter()
        .filter(|outcome| outcome.revision().is_none())
    {
        assert_eq!(conflict(outcome).actual, actual(winners[0]));
    }
    winners[0]
}

/// Of any number of creates of one name one wins, and each other sees the winner's revision.
pub async fn of_many_creates_one_wins(t: Fixture) {
    let store = t.open().await;
    for (round, count) in [10, 10, 10, 64, 64].into_iter().enumerate() {
        let name = key(&round.to_string());
        let outcomes = at_once(count, |number| {
            let (store, name) = (Arc::clone(&store), name.clone());
            async move { create(&store, &name, number.to_string()).await }
        })
        .await;
        let winner = one_winner(&outcomes, Some);
        let stored = get(&store, &name).await.unwrap();
        assert_eq!(stored.revision, winner);
        let number = outcomes
            .iter()
            .position(|outcome| outcome.revision().is_some());
        assert_eq!(stored.value, number.unwrap().to_string());
    }
    assert_eq!(changes(&store, scope(), Revision::ZERO).await.len(), 5);
}

/// Of any number of updates of one revision one wins, round after round.
pub async fn of_many_updates_one_wins(t: Fixture) {
    let store = t.open().await;
    let mut at = put(&store, &key("a"), "first").await;
    for count in [10, 10, 10, 64, 64] {
        let outcomes = at_once(count, |number| {
            let store = Arc::clone(&store);
            async move { update(&store, &key("a"), at, number.to_string()).await }
        })
        .await;
        let winner = one_winner(&outcomes, Some);
        assert!(winner > at);
        assert_eq!(get(&store, &key("a")).await.unwrap().revision, winner);
        at = winner;
    }
    assert_eq!(changes(&store, scope(), Revision::ZERO).await.len(), 6);
}

/// Of any number of deletes of one object one wins; each other sees it absent.
pub async fn of_many_deletes_one_wins(t: Fixture) {
    let store = t.open().await;
    for count in [10, 64] {
        let at = put(&store, &key("a"), "1").await;
        let outcomes = at_once(count, |_| {
            let store = Arc::clone(&store);
            let delete = Transaction::delete(key("a"), Precondition::Revision(at), "x");
            async move { commit(&store, delete).await }
        })
        .await;
        one_winner(&outcomes, |_| None);
        assert_eq!(get(&store, &key("a")).await, None);
    }
    assert_eq!(changes(&store, scope(), Revision::ZERO).await.len(), 4);
    assert_eq!(list(&store, ListQuery::trash(scope())).await.len(), 1);
}

/// Updates and deletes of one revision race: one wins, and the state is what it left.
pub async fn updates_and_deletes_have_one_winner(t: Fixture) {
    let store = t.open().await;
    for round in 0..8 {
        let at = put(&store, &key("a"), "1").await;
        let outcomes = at_once(16, |number| {
            let store = Arc::clone(&store);
            let precondition = Precondition::Revision(at);
            let write = if number % 2 == 0 {
                Transaction::put(key("a"), precondition, number.to_string())
            } else {
                Transaction::delete(key("a"), precondition, number.to_string())
            };
            async move { commit(&store, write).await }
        })
        .await;
        let winner = outcomes
            .iter()
            .position(|outcome| outcome.revision().is_some());
        let updated = winner.unwrap() % 2 == 0;
        let won = one_winner(&outcomes, |won| updated.then_some(won));
        let now = get(&store, &key("a")).await;
        assert_eq!(
            now.map(|stored| stored.revision),
            updated.then_some(won),
            "round {round}"
        );
        let trash = list(&store, ListQuery::trash(scope())).await;
        assert_eq!(trash.is_empty(), updated);
    }
}

/// In concurrent calls each transaction has its own fate: conflicts touch no neighbour.
pub async fn concurrent_calls_do_not_touch_each_other(t: Fixture) {
    let store = t.open().await;
    let create = |name: String| Transaction::put(key(&name), Precondition::Absent, name);
    let all = at_once(24, |number| {
        let store = Arc::clone(&store);
        let call = vec![
            create(format!("own-{number}-a")),
            create("contested".to_owned()),
            create(format!("own-{number}-b")),
        ];
        async move { store.commit(call).await.unwrap() }
    })
    .await;
    for outcomes in &all {
        assert_eq!(outcomes.len(), 3);
        assert!(revision(&outcomes[0]) < revision(&outcomes[2]));
    }
    let contested: Vec<_> = all.iter().map(|outcomes| outcomes[1].clone()).collect();
    one_winner(&contested, Some);
    assert_eq!(
        list(&store, ListQuery::live(scope())).await.len(),
        2 * 24 + 1
    );
}

/// A counter that many callers raise by compare and swap counts every success.
pub async fn no_increment_is_lost(t: Fixture) {
    let store = t.open().await;
    put(&store, &key("counter"), "0").await;
    at_once(8, |_| {
        let store = Arc::clone(&store);
        async move {
            for _ in 0..12 {
                increment(&store).await;
            }
        }
    })
    .await;
    assert_eq!(text(&store, &key("counter")).await.unwrap(), "96");
    let all = changes(&store, scope(), Revision::ZERO).await;
    let values: Vec<_> = all
        .iter()
        .map(|change| change.object.value.clone())
        .collect();
    assert_eq!(values, (0..=96).map(|n| n.to_string()).collect::<Vec<_>>());
}

async fn increment(store: &Backend) {
    loop {
        let now = get(store, &key("counter")).await.unwrap();
        let next: u64 = std::str::from_utf8(&now.value)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            + 1;
        let outcome = update(store, &key("counter"), now.revision, next.to_string()).await;
        if outcome.revision().is_some() {
            return;
        }
    }
}

/// Transactions over the same keys in opposite orders all finish, each whole.
pub async fn opposite_orders_do_not_block_each_other(t: Fixture) {
    let store = t.open().await;
    let names = ["a", "b", "c", "d"];
    at_once(12, |number| {
        let store = Arc::clone(&store);
        async move {
            for round in 0..10 {
                let mut writes: Vec<_> = names
                    .map(|name| Write {
                        key: key(name),
                        precondition: Precondition::Any,
                        op: Op::Put(format!("{number}.{round}").into()),
                    })
                    .into();
                writes.rotate_left(number % 4);
                if number % 2 == 0 {
                    writes.reverse();
                }
                let transaction = Transaction {
                    writes,
                    ..Transaction::default()
                };
                revision(&commit(&store, transaction).await);
            }
        }
    })
    .await;
    let all = changes(&store, scope(), Revision::ZERO).await;
    Replay::new(all.clone());
    assert_eq!(all.len(), 12 * 10 * 4);
    for of_transaction in all.chunks(4) {
        let first = &of_transaction[0].object;
        let same = |c: &Arc<storage_core::Change>| {
            c.object.revision == first.revision && c.object.value == first.value
        };
        assert!(of_transaction.iter().all(same), "a transaction is torn");
    }
}

/// Runs a reader until the writers are done, and once more after that.
fn until_done<F>(
    done: &Arc<AtomicBool>,
    read: impl Fn() -> F + Send + 'static,
) -> tokio::task::JoinHandle<()>
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
    let pages = Arc::new(parking_lot::Mutex::new(Vec::<Page>::new()));
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

async fn follow(
    store: Backend,
    limit: usize,
    done: Arc<AtomicBool>,
) -> Vec<Arc<storage_core::Change>> {
    let mut head = store.head();
    let mut position = Revision::ZERO;
    let mut all = Vec::new();
    loop {
        let shown = *head.borrow_and_update();
        while position < shown {
            let query = ChangesQuery::new(Scope::All, position).limit(limit);
            let answer = store.changes(&query).await.unwrap();
            assert!(
                answer.through > position,
                "stuck at {position} below {shown}"
            );
            position = answer.through;
            all.extend(answer.changes);
        }
        let last = all
            .last()
            .map(|change: &Arc<storage_core::Change>| change.object.key.namespace());
        if done.load(Ordering::SeqCst) && last == Some("last") {
            return all;
        }
        head.changed().await.unwrap();
    }
}

/// `head` never goes back and covers each commit as soon as it is answered, for every caller.
pub async fn the_head_covers_what_was_acknowledged(t: Fixture) {
    let store = t.open().await;
    at_once(12, |number| {
        let store = Arc::clone(&store);
        async move {
            let mut receiver = store.head();
            let mut last = Revision::ZERO;
            for round in 0..15 {
                let at = put(&store, &key(&number.to_string()), round.to_string()).await;
                let shown = *receiver.borrow_and_update();
                assert!(shown >= at, "head {shown} after the commit of {at}");
                assert!(shown >= last, "head went back from {last} to {shown}");
                last = shown;
                let seen = store
                    .get(&key(&number.to_string()), Some(shown))
                    .await
                    .unwrap();
                assert_eq!(seen.unwrap().revision, at);
                let answer = ChangesQuery::new(Scope::All, Revision::new(at.get() - 1)).limit(1);
                let answer = store.changes(&answer).await.unwrap();
                assert_eq!(answer.changes[0].object.revision, at);
            }
        }
    })
    .await;
}

/// A caller that goes away leaves its transaction committed whole or not at all, and the store
/// in order.
pub async fn a_dropped_commit_is_whole_or_not_at_all(t: Fixture) {
    let store = t.open().await;
    let of = |number: usize| Transaction {
        writes: (0..3)
            .map(|part| Write {
                key: key_in(&format!("{number:03}"), &part.to_string()),
                precondition: Precondition::Absent,
                op: Op::Put("1".into()),
            })
            .collect(),
        ..Transaction::default()
    };
    for number in 0..60 {
        let mut future = Box::pin(store.commit(vec![of(number)]));
        for _ in 0..number % 6 {
            if futures::poll!(&mut future).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(future);
    }
    let mut dice = Dice::new(7);
    for number in 60..120 {
        let (store, transaction) = (Arc::clone(&store), of(number));
        let task = tokio::spawn(async move { store.commit(vec![transaction]).await });
        for _ in 0..dice.roll(20) {
            tokio::task::yield_now().await;
        }
        task.abort();
        drop(task.await);
    }
    let last = put(&store, &key("last"), "1").await;
    let page = settled(&store).await;
    assert!(page.revision >= last);
    for number in 0..120 {
        let namespace = format!("{number:03}");
        let parts = page
            .items
            .iter()
            .filter(|item| item.key.namespace() == namespace)
            .count();
        assert!(
            matches!(parts, 0 | 3),
            "{parts} parts of transaction {number}"
        );
    }
    let replay = Replay::new(changes(&store, Scope::All, Revision::ZERO).await);
    assert_eq!(replay.list_at(&Scope::All, page.revision), page.items);
    for number in 0..120 {
        // The transaction can be tried again: it succeeds, or shows what it did the first time.
        let outcome = commit(&store, of(number)).await;
        let there = get(&store, &of(number).writes[0].key).await.unwrap();
        assert_eq!(outcome.revision().unwrap_or(there.revision), there.revision);
    }
}

/// Waits until the commits that nobody waits for have ended: lists and counts agree. Nothing
/// tells their end, so this looks again until it is so.
async fn settled(store: &Backend) -> Page {
    loop {
        let before = head(store);
        let page = store.list(&ListQuery::live(Scope::All)).await.unwrap();
        let stats = store.stats(&Scope::All).await.unwrap();
        if head(store) == before && page.revision == before {
            let total: u64 = stats.iter().map(|stats| stats.count).sum();
            if total == page.items.len() as u64 {
                return page;
            }
        }
        tokio::task::yield_now().await;
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
        trash_age_max: Some(std::time::Duration::ZERO),
        step_max: 10,
        ..keep_all()
    };
    let compacting = [(); 2].map(|()| {
        let (store, policy) = (Arc::clone(&store), policy.clone());
        let horizon = Arc::new(parking_lot::Mutex::new(Revision::ZERO));
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
async fn follow_or_list(store: Backend, done: Arc<AtomicBool>) -> Vec<storage_core::Stored> {
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
fn apply(items: &mut Vec<storage_core::Stored>, changes: &[Arc<storage_core::Change>]) {
    for change in changes {
        let place = items.binary_search_by(|item| item.key.cmp(&change.object.key));
        let before = place.ok().map(|index| items[index].revision);
        assert_eq!(
            change.previous.as_ref().map(|p| p.revision),
            before,
            "{change:?}"
        );
        match (place, change.object.kind) {
            (Ok(index), storage_core::ChangeKind::Deleted) => drop(items.remove(index)),
            (Ok(index), _) => items[index] = change.object.clone(),
            (Err(index), _) => items.insert(index, change.object.clone()),
        }
    }
}

/// The changes from a list on must lead to the newest objects.
async fn replay_from(store: &Backend, mut page: Page, newest: &[storage_core::Stored]) {
    apply(
        &mut page.items,
        &changes(store, scope(), page.revision).await,
    );
    assert_eq!(page.items, newest);
}

/// Each object is as its last acknowledged transaction left it.
async fn expect_newest(store: &Backend, acknowledged: &crate::traffic::Acknowledged) {
    let mut newest = std::collections::BTreeMap::<&ResourceKey, _>::new();
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

/// Two handles on one store: what one acknowledged the other sees, in every kind of read.
pub async fn two_handles_see_the_same_store(t: Fixture) {
    let a = t.open().await;
    let b = t.second(&a).await;
    for round in 0..10 {
        let (writer, reader) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let at = put(writer, &key("a"), round.to_string()).await;
        assert_eq!(get(reader, &key("a")).await.unwrap().revision, at);
        let page = reader.list(&ListQuery::live(scope())).await.unwrap();
        assert!(page.revision >= at);
        assert_eq!(page.items[0].revision, at);
        assert_eq!(
            reader
                .get(&key("a"), Some(at))
                .await
                .unwrap()
                .unwrap()
                .revision,
            at
        );
        let query = ChangesQuery::new(scope(), Revision::new(at.get() - 1));
        assert_eq!(reader.changes(&query).await.unwrap().changes.len(), 1);
        assert_eq!(reader.stats(&scope()).await.unwrap()[0].count, 1);
        let mut shown = reader.head();
        shown.wait_for(|shown| *shown >= at).await.unwrap();
    }
    delete(&b, &key("a")).await;
    assert_eq!(get(&a, &key("a")).await, None);
    let policy = Retention {
        changes_max: Some(0),
        ..keep_all()
    };
    let horizon = compact(&a, &policy).await.horizon;
    let below = ListQuery::live(scope()).at(Revision::new(horizon.get() - 1));
    assert_eq!(b.list(&below).await.unwrap_err().kind(), ErrorKind::Expired);
}

/// Writers on two handles: one winner each round, one order of revisions, nothing lost.
pub async fn two_handles_have_one_order(t: Fixture) {
    let a = t.open().await;
    let b = t.second(&a).await;
    for round in 0..5 {
        let name = key_in("rounds", &round.to_string());
        let outcomes = at_once(16, |number| {
            let store = Arc::clone([&a, &b][number % 2]);
            let name = name.clone();
            async move { create(&store, &name, number.to_string()).await }
        })
        .await;
        one_winner(&outcomes, Some);
    }
    let before = changes(&a, Scope::All, Revision::ZERO).await.len();
    assert_eq!(before, 5);
    let done = Arc::new(AtomicBool::new(false));
    let followers: Vec<_> = [&a, &b]
        .map(|store| tokio::spawn(follow(Arc::clone(store), 5, Arc::clone(&done))))
        .into();
    let acknowledged = Traffic::SMALL
        .run(&[Arc::clone(&a), Arc::clone(&b)], &done)
        .await;
    put(&b, &key_in("last", "a"), "1").await;
    let all = changes(&a, Scope::All, Revision::ZERO).await;
    assert_eq!(changes(&b, Scope::All, Revision::ZERO).await, all);
    Replay::new(all.clone());
    let revisions: std::collections::BTreeSet<_> = all[5..all.len() - 1]
        .iter()
        .map(|change| change.object.revision)
        .collect();
    assert!(acknowledged.keys().eq(&revisions));
    for follower in followers {
        assert_eq!(follower.await.unwrap(), all);
    }
}

/// What one caller was told is true for every other one from then on.
pub async fn an_acknowledged_write_is_seen_by_everyone(t: Fixture) {
    let store = t.open().await;
    let (tell, told) = tokio::sync::watch::channel(Revision::ZERO);
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (store, mut told) = (Arc::clone(&store), told.clone());
            tokio::spawn(async move {
                while told.changed().await.is_ok() {
                    let at = *told.borrow_and_update();
                    let stored = store.get(&key("a"), None).await.unwrap().unwrap();
                    assert!(stored.revision >= at);
                    let page = store.list(&ListQuery::live(scope())).await.unwrap();
                    assert!(page.items[0].revision >= at && page.revision >= at);
                    assert!(
                        store
                            .get(&key("a"), Some(at))
                            .await
                            .unwrap()
                            .unwrap()
                            .revision
                            == at
                    );
                }
            })
        })
        .collect();
    for number in 0..40 {
        let at = put(&store, &key("a"), number.to_string()).await;
        tell.send(at).unwrap();
        tokio::task::yield_now().await;
    }
    drop(tell);
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(store.commit_one(Transaction::default()).await.is_ok());
}
