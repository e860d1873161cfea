use storage_core::limits::CHANGES_MAX;
use storage_core::{
    ChangeKind, ChangesQuery, ErrorKind, Op, Precondition, Revision, Scope, Transaction, Write,
};

use crate::check::Replay;
use crate::step::{
    GROUP, RESOURCE, changes, changes_by, commit, delete, error_kind, head, internal_key, key,
    key_in, put, put_many, revision, scope,
};
use crate::{Backend, Fixture};

/// Commits transactions of one to four writes in two namespaces; returns the number of writes.
async fn fill(store: &Backend) -> usize {
    let mut count = 0;
    for step in 0..12 {
        let mut transaction = Transaction::default();
        for write in 0..=step % 4 {
            let namespace = ["n1", "n10"][(step + write) % 2];
            transaction = transaction.and(Write {
                key: key_in(namespace, &write.to_string()),
                precondition: Precondition::Any,
                op: Op::Put(format!("{step}.{write}").into()),
            });
            count += 1;
        }
        revision(&commit(store, transaction).await);
    }
    count
}

/// Changes come by revision, then in the order of the transaction's writes, each once.
pub async fn changes_are_in_order_and_each_once(t: Fixture) {
    let store = t.open().await;
    let count = fill(&store).await;
    let all = changes(&store, scope(), Revision::ZERO).await;
    assert_eq!(all.len(), count);
    Replay::new(all.clone());
    let values: Vec<_> = all
        .iter()
        .map(|change| change.object.value.clone())
        .collect();
    let mut expected = Vec::new();
    for step in 0..12 {
        expected.extend((0..=step % 4).map(|write| format!("{step}.{write}")));
    }
    assert_eq!(values, expected);
}

/// After a revision means above it: that revision's own changes are not in the answer.
pub async fn changes_start_after_the_given_revision(t: Fixture) {
    let store = t.open().await;
    fill(&store).await;
    let all = changes(&store, scope(), Revision::ZERO).await;
    for after in 0..=head(&store).get() {
        let after = Revision::new(after);
        let expected: Vec<_> = all
            .iter()
            .filter(|c| c.object.revision > after)
            .cloned()
            .collect();
        assert_eq!(changes(&store, scope(), after).await, expected);
    }
}

/// After the newest revision there are no changes, and `through` stays there.
pub async fn nothing_follows_the_newest_revision(t: Fixture) {
    let store = t.open().await;
    fill(&store).await;
    let newest = head(&store);
    let answer = store
        .changes(&ChangesQuery::new(scope(), newest))
        .await
        .unwrap();
    assert_eq!((answer.changes, answer.through), (vec![], newest));
}

/// An answer that is cut ends between two transactions, as soon as the limit is reached.
pub async fn a_limit_cuts_between_transactions(t: Fixture) {
    let store = t.open().await;
    let count = fill(&store).await;
    let all = changes(&store, scope(), Revision::ZERO).await;
    for limit in 1..=count + 1 {
        let query = ChangesQuery::new(scope(), Revision::ZERO).limit(limit);
        check_answers(&store, query, &all).await;
        assert_eq!(
            changes_by(
                &store,
                ChangesQuery::new(scope(), Revision::ZERO).limit(limit)
            )
            .await,
            all
        );
    }
}

/// The same by value bytes; a transaction larger than the limit is still whole.
pub async fn a_limit_of_bytes_cuts_between_transactions(t: Fixture) {
    let store = t.open().await;
    fill(&store).await;
    put(&store, &key_in("n1", "large"), vec![b'x'; 3_000]).await;
    fill(&store).await;
    let all = changes(&store, scope(), Revision::ZERO).await;
    for limit_bytes in [1, 3, 4, 9, 10, 50, 2_999, 3_000, 3_500, 100_000] {
        let query = ChangesQuery {
            limit_bytes: Some(limit_bytes),
            ..ChangesQuery::new(scope(), Revision::ZERO)
        };
        check_answers(&store, query, &all).await;
    }
}

/// Reads on until the end; each answer must be whole, complete up to `through`, and not too long.
async fn check_answers(
    store: &Backend,
    mut query: ChangesQuery,
    all: &[std::sync::Arc<storage_core::Change>],
) {
    let newest = head(store);
    while query.after < newest {
        let answer = store.changes(&query).await.unwrap();
        let expected: Vec<_> = all
            .iter()
            .filter(|c| c.object.revision > query.after && c.object.revision <= answer.through)
            .cloned()
            .collect();
        assert_eq!(
            answer.changes, expected,
            "{query:?} through {}",
            answer.through
        );
        assert!(answer.through > query.after, "{query:?}");
        if let Some(last) = answer.changes.last() {
            let before_last = answer
                .changes
                .iter()
                .filter(|c| c.object.revision < last.object.revision);
            let (count, bytes) = before_last.fold((0, 0), |(count, bytes), c| {
                (count + 1, bytes + c.object.value.len())
            });
            let full = count >= query.changes_max() || bytes >= query.bytes_max();
            assert!(!full, "{query:?} has a transaction too many");
        }
        query.after = answer.through;
    }
}

/// A scope has its own changes, of its own part of each transaction, and no others.
pub async fn a_scope_has_its_own_changes(t: Fixture) {
    let store = t.open().await;
    fill(&store).await;
    delete(&store, &key_in("n1", "0")).await;
    let all = changes(&store, Scope::All, Revision::ZERO).await;
    for scope in [
        scope(),
        Scope::group(GROUP),
        Scope::namespace(GROUP, RESOURCE, "n1"),
        Scope::namespace(GROUP, RESOURCE, "n10"),
        Scope::namespace(GROUP, RESOURCE, "n"),
        Scope::Object(key_in("n1", "0")),
        Scope::Object(key_in("n10", "0")),
        Scope::group("example"),
    ] {
        let expected: Vec<_> = all
            .iter()
            .filter(|c| scope.contains(&c.object.key))
            .cloned()
            .collect();
        for limit in [1, 2, 1_000] {
            let query = ChangesQuery::new(scope.clone(), Revision::ZERO).limit(limit);
            assert_eq!(changes_by(&store, query).await, expected, "{scope}");
        }
    }
}

/// `through` goes up to the newest revision also when only other objects changed.
pub async fn through_advances_while_the_scope_is_idle(t: Fixture) {
    let store = t.open().await;
    let at = put(&store, &key("a"), "1").await;
    for number in 0..10 {
        put(&store, &key_in("other", &number.to_string()), "1").await;
    }
    let newest = put(&store, &internal_key("a"), "1").await;
    let query = ChangesQuery::new(Scope::Object(key("a")), at);
    let answer = store.changes(&query).await.unwrap();
    assert_eq!(answer.changes, []);
    assert!(
        answer.through >= newest,
        "{} is behind {newest}",
        answer.through
    );
}

/// If a change of the scope follows, the answer has one, however many others lie between. An
/// answer without a limit is limited all the same.
pub async fn a_rare_change_is_found_behind_many_others(t: Fixture) {
    let store = t.open().await;
    let many: Vec<_> = (0..CHANGES_MAX + 500)
        .map(|n| key_in("many", &n.to_string()))
        .collect();
    put_many(&store, &many, &"1".into()).await;
    let rare = put(&store, &key_in("rare", "a"), "1").await;
    put_many(&store, &many[..500], &"2".into()).await;

    let scope_of_rare = Scope::namespace(GROUP, RESOURCE, "rare");
    let query = ChangesQuery::new(scope_of_rare, Revision::ZERO).limit(1);
    let answer = store.changes(&query).await.unwrap();
    assert_eq!(answer.changes.len(), 1);
    assert_eq!(answer.changes[0].object.revision, rare);
    assert!(answer.through >= rare);

    let query = ChangesQuery::new(Scope::All, Revision::ZERO);
    let answer = store.changes(&query).await.unwrap();
    let last = answer.changes.last().unwrap().object.revision;
    let before_last = answer
        .changes
        .iter()
        .filter(|c| c.object.revision < last)
        .count();
    assert!(before_last < CHANGES_MAX && answer.changes.len() >= CHANGES_MAX);
    assert!(answer.through < rare);
    assert_eq!(
        changes(&store, Scope::All, Revision::ZERO).await.len(),
        many.len() + 501
    );
}

/// Each change has the value and the revision before it; a creation has none, after a deletion
/// too.
pub async fn each_change_has_the_value_before_it(t: Fixture) {
    let store = t.open().await;
    let r1 = put(&store, &key("a"), "1").await;
    let r2 = put(&store, &key("a"), "2").await;
    delete(&store, &key("a")).await;
    put(&store, &key("a"), "4").await;
    let all = changes(&store, scope(), Revision::ZERO).await;
    let previous: Vec<_> = all
        .iter()
        .map(|change| change.previous.as_ref().map(|p| (p.revision, &p.value[..])))
        .collect();
    assert_eq!(
        previous,
        [None, Some((r1, &b"1"[..])), Some((r2, &b"2"[..])), None]
    );
    // Also when the answer starts in the middle.
    let rest = changes(&store, scope(), r1).await;
    assert_eq!(rest, all[1..]);
}

/// A deletion comes with its deletion record and with the value that it deleted.
pub async fn a_deletion_has_its_record(t: Fixture) {
    let store = t.open().await;
    let created = put(&store, &key("a"), "value").await;
    let deleted = delete(&store, &key("a")).await;
    let all = changes(&store, scope(), created).await;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].object.kind, ChangeKind::Deleted);
    assert_eq!(all[0].object.revision, deleted);
    assert_eq!(all[0].object.created, created);
    assert_eq!(all[0].object.value, "deletion record of a");
    assert_eq!(all[0].previous.as_ref().unwrap().value, "value");
}

/// Changes after a revision that the store has not reached are refused.
pub async fn changes_after_the_future_are_refused(t: Fixture) {
    let store = t.open().await;
    put(&store, &key("a"), "1").await;
    for after in [head(&store).next(), Revision::MAX] {
        let answer = store.changes(&ChangesQuery::new(scope(), after)).await;
        assert_eq!(error_kind(answer), ErrorKind::FutureRevision);
    }
}

/// After any revision below `head`, `changes` reaches `head`, as soon as it shows.
pub async fn changes_reach_the_head(t: Fixture) {
    let store = t.open().await;
    let mut position = head(&store);
    let mut receiver = store.head();
    for number in 0..20 {
        let at = put(&store, &key(&(number % 3).to_string()), number.to_string()).await;
        let shown = *receiver.borrow_and_update();
        assert!(shown >= at, "head {shown} after the commit of {at}");
        let answer = store
            .changes(&ChangesQuery::new(scope(), position))
            .await
            .unwrap();
        assert!(answer.through >= shown);
        assert_eq!(answer.changes.len(), 1);
        position = answer.through;
    }
}
