use std::time::Duration;

use storage_core::{
    ChangeKind, ListQuery, Op, OperationId, Order, Precondition, Revision, Scope, Timestamp,
    Transaction, Write,
};

use crate::Fixture;
use crate::step::{
    changes, commit, commit_all, conflict, create, delete, get, get_at, head, key, list, put,
    revision, scope, text, update,
};

fn put_write(name: &str, precondition: Precondition) -> Write {
    Write {
        key: key(name),
        precondition,
        op: Op::Put(name.to_owned().into()),
    }
}

fn delete_write(name: &str) -> Write {
    Write {
        key: key(name),
        precondition: Precondition::Any,
        op: Op::Delete("gone".into()),
    }
}

/// One outcome per transaction, in the order of the call.
pub async fn one_outcome_per_transaction_in_order(t: Fixture) {
    let store = t.open().await;
    let before = put(&store, &key("b"), "1").await;
    let transactions = ["a", "b", "c", "b", "d"]
        .map(|name| Transaction::put(key(name), Precondition::Absent, name));
    let outcomes = commit_all(&store, transactions.to_vec()).await;
    let a = revision(&outcomes[0]);
    assert_eq!(conflict(&outcomes[1]).actual, Some(before));
    let c = revision(&outcomes[2]);
    assert_eq!(conflict(&outcomes[3]).actual, Some(before));
    let d = revision(&outcomes[4]);
    for (name, at) in [("a", a), ("b", before), ("c", c), ("d", d)] {
        assert_eq!(get(&store, &key(name)).await.unwrap().revision, at);
    }
}

/// No transactions: no outcomes, and nothing happens.
pub async fn no_transactions_have_no_outcomes(t: Fixture) {
    let store = t.open().await;
    put(&store, &key("a"), "1").await;
    let before = head(&store);
    assert_eq!(commit_all(&store, vec![]).await, []);
    assert_eq!(head(&store), before);
}

/// A later transaction of the call sees the writes of an earlier one.
pub async fn a_later_transaction_sees_an_earlier_one(t: Fixture) {
    let store = t.open().await;
    let outcomes = commit_all(
        &store,
        vec![
            Transaction::put(key("a"), Precondition::Absent, "1"),
            Transaction::put(key("a"), Precondition::Absent, "2"),
            Transaction::put(key("a"), Precondition::Present, "3"),
            Transaction::delete(key("a"), Precondition::Present, "4"),
            Transaction::put(key("a"), Precondition::Present, "5"),
            Transaction::put(key("a"), Precondition::Absent, "6"),
        ],
    )
    .await;
    let created = revision(&outcomes[0]);
    assert_eq!(conflict(&outcomes[1]).actual, Some(created));
    assert!(revision(&outcomes[2]) > created);
    assert_eq!(conflict(&outcomes[4]).actual, None);
    let newest = get(&store, &key("a")).await.unwrap();
    assert_eq!(&newest.value[..], b"6");
    assert_eq!(newest.created, revision(&outcomes[5]));
    let history = list(&store, ListQuery::history(scope(), Order::Ascending)).await;
    assert_eq!(history.len(), 4);
}

/// Two transactions of one call that write the same object leave two revisions of it.
pub async fn an_object_is_written_twice_in_one_call(t: Fixture) {
    let store = t.open().await;
    let puts = ["1", "2"].map(|value| Transaction::put(key("a"), Precondition::Any, value));
    let outcomes = commit_all(&store, puts.to_vec()).await;
    let (first, second) = (revision(&outcomes[0]), revision(&outcomes[1]));
    assert_eq!(
        &get_at(&store, &key("a"), first).await.unwrap().value[..],
        b"1"
    );
    assert_eq!(
        &get_at(&store, &key("a"), second).await.unwrap().value[..],
        b"2"
    );
    let changes = changes(&store, scope(), Revision::ZERO).await;
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[1].previous.as_ref().unwrap().revision, first);
    assert_eq!(&changes[1].previous.as_ref().unwrap().value[..], b"1");
}

/// A transaction with a failed precondition writes nothing, whichever of its writes it is.
pub async fn a_transaction_is_all_or_nothing(t: Fixture) {
    let store = t.open().await;
    let there = put(&store, &key("there"), "1").await;
    let before = head(&store);
    for failing in 0..3 {
        let mut transaction = Transaction::default();
        for name in ["x", "y", "there"] {
            transaction = transaction.and(put_write(name, Precondition::Any));
        }
        transaction.writes[failing].precondition = Precondition::Revision(before.next());
        conflict(&commit(&store, transaction).await);
    }
    assert_eq!(get(&store, &key("x")).await, None);
    assert_eq!(get(&store, &key("y")).await, None);
    assert_eq!(get(&store, &key("there")).await.unwrap().revision, there);
    assert_eq!(head(&store), before);
    assert_eq!(changes(&store, scope(), before).await, []);
    let history = list(&store, ListQuery::history(scope(), Order::Ascending)).await;
    assert_eq!(history.len(), 1);
    let stats = store.stats(&scope()).await.unwrap();
    assert_eq!(stats[0].count, 1);
}

/// A conflict in the middle of a call does not touch the transactions around it.
pub async fn neighbours_of_a_conflict_are_untouched(t: Fixture) {
    let store = t.open().await;
    put(&store, &key("taken"), "1").await;
    let mut transactions = Vec::new();
    for number in 0..20 {
        let name = if number % 3 == 1 {
            "taken".to_owned()
        } else {
            format!("free{number}")
        };
        transactions.push(Transaction::put(
            key(&name),
            Precondition::Absent,
            name.clone(),
        ));
    }
    let outcomes = commit_all(&store, transactions.clone()).await;
    for (transaction, outcome) in transactions.iter().zip(&outcomes) {
        let key = &transaction.writes[0].key;
        if key.name() == "taken" {
            assert_eq!(conflict(outcome).key, *key);
        } else {
            let stored = get(&store, key).await.unwrap();
            assert_eq!(stored.revision, revision(outcome));
            assert_eq!(&stored.value[..], key.name().as_bytes());
        }
    }
    assert_eq!(text(&store, &key("taken")).await.unwrap(), "1");
    let all = changes(&store, scope(), Revision::ZERO).await;
    assert_eq!(
        all.len(),
        1 + outcomes.iter().filter(|o| o.revision().is_some()).count()
    );
}

/// The writes of a transaction share one revision, and no other transaction has it.
pub async fn writes_of_a_transaction_share_one_revision(t: Fixture) {
    let store = t.open().await;
    put(&store, &key("old"), "1").await;
    let transaction = Transaction::default()
        .and(put_write("z", Precondition::Any))
        .and(delete_write("old"))
        .and(put_write("a", Precondition::Any));
    let at = revision(&commit(&store, transaction).await);
    let after = put(&store, &key("b"), "1").await;
    assert!(after > at);
    assert_eq!(get(&store, &key("z")).await.unwrap().revision, at);
    assert_eq!(get(&store, &key("a")).await.unwrap().revision, at);
    let trash = list(&store, ListQuery::trash(scope())).await;
    assert_eq!(trash[0].revision, at);
    let changes = changes(&store, scope(), Revision::ZERO).await;
    let of_transaction: Vec<&str> = changes
        .iter()
        .filter(|change| change.object.revision == at)
        .map(|change| change.object.key.name())
        .collect();
    assert_eq!(
        of_transaction,
        ["z", "old", "a"],
        "in the order of the writes"
    );
}

/// Each revision is higher than all before, in one call and from call to call.
pub async fn revisions_rise_strictly(t: Fixture) {
    let store = t.open().await;
    let mut last = head(&store);
    for round in 0..5 {
        let puts = (0..10).map(|n| {
            let name = format!("{}", n % 3);
            Transaction::put(key(&name), Precondition::Any, format!("{round} {n}"))
        });
        for outcome in commit_all(&store, puts.collect()).await {
            let revision = revision(&outcome);
            assert!(revision > last, "{revision} after {last}");
            last = revision;
        }
        assert!(head(&store) >= last);
    }
}

/// A transaction's revision is at least `at_least`, and so is every later one.
pub async fn at_least_raises_the_revision(t: Fixture) {
    let store = t.open().await;
    let first = put(&store, &key("a"), "1").await;
    let wanted = Revision::new(first.get() + 1_000_000_007);
    let mut raising = Transaction::put(key("b"), Precondition::Any, "1");
    raising.at_least = Some(wanted);
    let raised = revision(&commit(&store, raising).await);
    assert!(raised >= wanted);
    assert!(head(&store) >= raised);
    assert!(put(&store, &key("c"), "1").await > raised);
    assert_eq!(
        get_at(&store, &key("b"), wanted).await.is_some(),
        raised == wanted
    );
    assert_eq!(
        get_at(&store, &key("a"), Revision::new(wanted.get() - 1))
            .await
            .unwrap()
            .revision,
        first
    );
    assert_eq!(changes(&store, scope(), first).await.len(), 2);
}

/// `at_least` of a revision that is past already has no effect.
pub async fn at_least_below_the_newest_revision_changes_nothing(t: Fixture) {
    let store = t.open().await;
    let first = put(&store, &key("a"), "1").await;
    let second = put(&store, &key("a"), "2").await;
    let mut late = Transaction::put(key("a"), Precondition::Any, "3");
    late.at_least = Some(first);
    assert!(revision(&commit(&store, late).await) > second);
    let before = head(&store);
    assert_eq!(
        revision(&commit(&store, Transaction::raise(first)).await),
        before
    );
    assert_eq!(head(&store), before);
}

/// A raise needs no writes; it leaves no record.
pub async fn a_raise_without_writes_raises_the_store(t: Fixture) {
    let store = t.open().await;
    let first = put(&store, &key("a"), "1").await;
    let wanted = Revision::new(first.get() + 5_000);
    let raised = revision(&commit(&store, Transaction::raise(wanted)).await);
    assert!(raised >= wanted);
    assert!(head(&store) >= wanted);
    let answer = store
        .changes(&storage_core::ChangesQuery::new(Scope::All, first))
        .await
        .unwrap();
    assert_eq!(answer.changes, []);
    assert!(answer.through >= wanted);
    assert_eq!(
        get_at(&store, &key("a"), wanted).await.unwrap().revision,
        first
    );
    assert!(
        store
            .list(&ListQuery::live(scope()))
            .await
            .unwrap()
            .revision
            >= wanted
    );
    let next = put(&store, &key("a"), "2").await;
    assert!(next > raised);
    assert_eq!(
        get_at(&store, &key("a"), raised).await.unwrap().revision,
        first
    );
}

/// A transaction that is not committed does not raise the revision either.
pub async fn a_conflict_raises_nothing(t: Fixture) {
    let store = t.open().await;
    put(&store, &key("a"), "1").await;
    let before = head(&store);
    let mut raising = Transaction::put(key("a"), Precondition::Absent, "2");
    raising.at_least = Some(Revision::new(before.get() + 1_000_000));
    conflict(&commit(&store, raising).await);
    assert_eq!(head(&store), before);
    let next = put(&store, &key("a"), "3").await;
    assert!(next.get() < before.get() + 1_000_000);
}

/// A transaction without writes is committed at the newest revision, and takes none.
pub async fn an_empty_transaction_takes_no_revision(t: Fixture) {
    let store = t.open().await;
    let newest = put(&store, &key("a"), "1").await;
    let before = head(&store);
    let empty = revision(&commit(&store, Transaction::default()).await);
    assert!(empty >= newest);
    assert_eq!(empty, before);
    assert_eq!(head(&store), before);
    assert_eq!(changes(&store, Scope::All, before).await, []);
}

/// A transaction that only checks is committed at the newest revision, and takes none.
pub async fn a_check_takes_no_revision(t: Fixture) {
    let store = t.open().await;
    let at = put(&store, &key("a"), "1").await;
    let before = head(&store);
    let check = Transaction::from(Write::check(key("a"), Precondition::Revision(at)))
        .and(Write::check(key("b"), Precondition::Absent));
    assert_eq!(revision(&commit(&store, check).await), before);
    assert_eq!(head(&store), before);
    assert_eq!(get(&store, &key("a")).await.unwrap().revision, at);
    assert_eq!(changes(&store, Scope::All, before).await, []);
}

/// A transaction that deletes what is absent changes nothing and takes no revision.
pub async fn deleting_what_is_absent_takes_no_revision(t: Fixture) {
    let store = t.open().await;
    put(&store, &key("deleted"), "1").await;
    delete(&store, &key("deleted")).await;
    let before = head(&store);
    let never = Transaction::delete(key("never"), Precondition::Any, "x");
    assert_eq!(revision(&commit(&store, never).await), before);
    let again = Transaction::delete(key("deleted"), Precondition::Absent, "x");
    assert_eq!(revision(&commit(&store, again).await), before);
    assert_eq!(head(&store), before);
    assert_eq!(changes(&store, Scope::All, before).await, []);
    let trash = list(&store, ListQuery::trash(scope())).await;
    assert_eq!(trash.len(), 1);
    assert_eq!(&trash[0].value[..], b"deletion record of deleted");
}

/// Beside a write that changes something, a delete of what is absent still leaves no record.
pub async fn deletes_of_absent_objects_leave_no_record(t: Fixture) {
    let store = t.open().await;
    let transaction = Transaction::from(delete_write("absent"))
        .and(put_write("a", Precondition::Any))
        .and(Write::check(key("checked"), Precondition::Absent));
    let at = revision(&commit(&store, transaction).await);
    let all = changes(&store, scope(), Revision::ZERO).await;
    assert_eq!(all.len(), 1);
    assert_eq!(
        (all[0].object.key.name(), all[0].object.revision),
        ("a", at)
    );
    assert_eq!(list(&store, ListQuery::trash(scope())).await, []);
    let history = list(&store, ListQuery::history(scope(), Order::Ascending)).await;
    assert_eq!(history.len(), 1);
}

/// A put of the value that is already there is a write like any other.
pub async fn the_same_value_again_is_a_write(t: Fixture) {
    let store = t.open().await;
    let first = put(&store, &key("a"), "same").await;
    let second = put(&store, &key("a"), "same").await;
    assert!(second > first);
    let changes = changes(&store, scope(), first).await;
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].object.kind, ChangeKind::Updated);
    assert_eq!(changes[0].object.revision, second);
    let history = list(&store, ListQuery::history(scope(), Order::Ascending)).await;
    assert_eq!(history.len(), 2);
    conflict(&update(&store, &key("a"), first, "same").await);
}

/// Each record says whether its write created, updated or deleted, and in which life.
pub async fn kinds_tell_what_a_write_did(t: Fixture) {
    let store = t.open().await;
    let a = key("a");
    let r1 = revision(&create(&store, &a, "1").await);
    let r2 = put(&store, &a, "2").await;
    let r3 = delete(&store, &a).await;
    let r4 = put(&store, &a, "4").await;
    let r5 = put(&store, &a, "5").await;
    let history = list(&store, ListQuery::history(scope(), Order::Ascending)).await;
    let told: Vec<_> = history
        .iter()
        .map(|s| (s.revision, s.kind, s.created))
        .collect();
    let expected = [
        (r1, ChangeKind::Created, r1),
        (r2, ChangeKind::Updated, r1),
        (r3, ChangeKind::Deleted, r1),
        (r4, ChangeKind::Created, r4),
        (r5, ChangeKind::Updated, r4),
    ];
    assert_eq!(told, expected);
    let changes = changes(&store, scope(), Revision::ZERO).await;
    let told: Vec<_> = changes
        .iter()
        .map(|c| (c.object.revision, c.object.kind, c.object.created))
        .collect();
    assert_eq!(told, expected);
    assert_eq!(get(&store, &a).await.unwrap().created, r4);
}

/// Every record names the request that it came from.
pub async fn the_operation_is_kept_with_every_revision(t: Fixture) {
    let store = t.open().await;
    let id = |n: u128| OperationId(u128::MAX - n);
    let created = Transaction::put(key("a"), Precondition::Any, "1").operation(id(0));
    let deleted = Transaction::delete(key("a"), Precondition::Any, "x").operation(id(1));
    commit_all(&store, vec![created, deleted]).await;
    put(&store, &key("b"), "1").await;
    let history = list(&store, ListQuery::history(scope(), Order::Ascending)).await;
    let operations: Vec<_> = history.iter().map(|stored| stored.operation).collect();
    assert_eq!(operations, [id(0), id(1), OperationId(0)]);
    let changes = changes(&store, scope(), Revision::ZERO).await;
    let operations: Vec<_> = changes
        .iter()
        .map(|change| change.object.operation)
        .collect();
    assert_eq!(operations, [id(0), id(1), OperationId(0)]);
    let first = changes[0].object.revision;
    assert_eq!(
        get_at(&store, &key("a"), first).await.unwrap().operation,
        id(0)
    );
    let trash = list(&store, ListQuery::trash(scope())).await;
    assert_eq!(trash[0].operation, id(1));
}

/// A record has the time of the store's clock at commit, or the one that the transaction gives.
pub async fn the_time_is_the_clocks_or_the_transactions(t: Fixture) {
    let store = t.open().await;
    t.clock().set(Timestamp::from_millis(1_800_000_000_123));
    put(&store, &key("a"), "1").await;
    t.clock().advance(Duration::from_millis(77));
    delete(&store, &key("a")).await;
    let mut imported = Transaction::put(key("b"), Precondition::Any, "1");
    imported.time = Some(Timestamp::from_millis(42));
    commit(&store, imported).await;
    let history = list(&store, ListQuery::history(scope(), Order::Ascending)).await;
    let times: Vec<_> = history
        .iter()
        .map(|stored| stored.time.as_millis())
        .collect();
    assert_eq!(times, [1_800_000_000_123, 1_800_000_000_200, 42]);
    let changes = changes(&store, scope(), Revision::ZERO).await;
    let times: Vec<_> = changes
        .iter()
        .map(|change| change.object.time.as_millis())
        .collect();
    assert_eq!(times, [1_800_000_000_123, 1_800_000_000_200, 42]);
    assert_eq!(get(&store, &key("b")).await.unwrap().time.as_millis(), 42);
}

/// Order comes from revisions: a clock that goes back changes nothing but the times.
pub async fn a_clock_that_goes_back_does_no_harm(t: Fixture) {
    let store = t.open().await;
    let first = put(&store, &key("a"), "1").await;
    t.clock().set(Timestamp::from_millis(5));
    let second = put(&store, &key("a"), "2").await;
    assert!(second > first);
    let newest = get(&store, &key("a")).await.unwrap();
    assert_eq!((newest.revision, newest.time.as_millis()), (second, 5));
    assert_eq!(
        get_at(&store, &key("a"), first).await.unwrap().revision,
        first
    );
    let changes = changes(&store, scope(), Revision::ZERO).await;
    let revisions: Vec<_> = changes
        .iter()
        .map(|change| change.object.revision)
        .collect();
    assert_eq!(revisions, [first, second]);
}
