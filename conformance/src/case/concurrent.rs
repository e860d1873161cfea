use std::sync::Arc;

use storage_core::{
    ChangesQuery, ListQuery, Op, Page, Precondition, Revision, Scope, StorageBackendExt,
    Transaction, Write,
};

use crate::check::Replay;
use crate::step::{
    changes, commit, create, get, head, key, key_in, list, put, revision, scope, text, update,
};
use crate::traffic::{Dice, at_once, one_winner};
use crate::{Backend, Fixture};

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
