use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use storage_core::{ChangesQuery, ErrorKind, ListQuery, Retention, Revision, Scope};

use crate::check::Replay;
use crate::step::{changes, compact, create, delete, get, head, keep_all, key, key_in, put, scope};
use crate::traffic::{Traffic, at_once, follow, one_winner};
use crate::{Backend, Fixture};

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
        assert_eq!(reader.stats(&scope()).await.unwrap()[0].count, 1);
        changes_follow_head(reader, at).await;
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
    shows(&a, Revision::new(5)).await;
    let before = changes(&a, Scope::All, Revision::ZERO).await.len();
    assert_eq!(before, 5);
    let done = Arc::new(AtomicBool::new(false));
    let followers: Vec<_> = [&a, &b]
        .map(|store| tokio::spawn(follow(Arc::clone(store), 5, Arc::clone(&done))))
        .into();
    let acknowledged = Traffic::SMALL
        .run(&[Arc::clone(&a), Arc::clone(&b)], &done)
        .await;
    let last = put(&b, &key_in("last", "a"), "1").await;
    shows(&a, last).await;
    shows(&b, last).await;
    let all = changes(&a, Scope::All, Revision::ZERO).await;
    assert_eq!(changes(&b, Scope::All, Revision::ZERO).await, all);
    Replay::new(all.clone());
    let revisions: BTreeSet<_> = all[5..all.len() - 1]
        .iter()
        .map(|change| change.object.revision)
        .collect();
    assert!(acknowledged.keys().eq(&revisions));
    for follower in followers {
        assert_eq!(follower.await.unwrap(), all);
    }
}

/// Changes reach the head that the handle shows, and further or not; a revision that a read has
/// shown is one to go on from, whatever the head is.
async fn changes_follow_head(store: &Backend, at: Revision) {
    let last = ChangesQuery::new(scope(), Revision::new(at.get() - 1));
    let known = head(store);
    let early = store.changes(&last).await.unwrap();
    assert!(early.through >= known);
    assert_eq!(early.changes.len(), usize::from(early.through >= at));
    let none_yet = store.changes(&ChangesQuery::new(scope(), at)).await;
    assert_eq!(none_yet.unwrap().changes, []);
    shows(store, at).await;
    assert_eq!(store.changes(&last).await.unwrap().changes.len(), 1);
}

/// Waits until a handle has heard of a commit of another one, as `head` promises. A layer that
/// keeps changes answers up to the head that it knows.
async fn shows(store: &Backend, at: Revision) {
    store.head().wait_for(|head| *head >= at).await.unwrap();
}
