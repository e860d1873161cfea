use bytes::Bytes;
use storage_core::limits::{
    COMMIT_BYTES_MAX, GROUP_BYTES_MAX, INTERNAL_VALUE_BYTES_MAX,
    INTERNAL_WRITES_PER_TRANSACTION_MAX, NAME_BYTES_MAX, NAMESPACE_BYTES_MAX, PAGE_BYTES_MAX,
    PAGE_ITEMS_MAX, RESOURCE_BYTES_MAX, TRANSACTIONS_PER_COMMIT_MAX, VALUE_BYTES_MAX,
    WRITES_PER_TRANSACTION_MAX,
};
use storage_core::{
    ChangesQuery, ErrorKind, ListQuery, Op, Precondition, ResourceKey, Revision, Scope,
    Transaction, Write,
};

use crate::step::{
    commit_all, error_kind, get, head, internal_key, key, key_in, list, put, put_many, revision,
    scope,
};
use crate::{Backend, Fixture};

fn put_of(name: &str, value: impl Into<Bytes>) -> Transaction {
    Transaction::put(key(name), Precondition::Any, value)
}

fn write_of(name: &str, value: impl Into<Bytes>) -> Write {
    put_of(name, value).writes.remove(0)
}

/// Commits one good transaction and the bad ones; all must be refused and nothing written.
async fn refused(store: &Backend, bad: Vec<Transaction>, kind: ErrorKind) {
    let before = head(store);
    let mut call = vec![put_of("good", "1")];
    call.extend(bad);
    assert_eq!(error_kind(store.commit(call).await), kind);
    assert_eq!(
        get(store, &key("good")).await,
        None,
        "a refused call wrote something"
    );
    assert_eq!(head(store), before);
}

/// A value at the limit comes back; one byte more is refused, with the whole call.
pub async fn values_are_limited(t: Fixture) {
    let store = t.open().await;
    let largest = Bytes::from(vec![0xa5; VALUE_BYTES_MAX]);
    put(&store, &key("a"), largest.clone()).await;
    assert!(get(&store, &key("a")).await.unwrap().value == largest);
    let over = Bytes::from(vec![0xa5; VALUE_BYTES_MAX + 1]);
    refused(&store, vec![put_of("b", over.clone())], ErrorKind::TooLarge).await;
    let delete = Transaction::delete(key("a"), Precondition::Any, over);
    refused(&store, vec![delete], ErrorKind::TooLarge).await;
    let delete = Transaction::delete(key("a"), Precondition::Any, largest.clone());
    revision(&crate::step::commit(&store, delete).await);
    let trash = list(&store, ListQuery::trash(scope())).await;
    assert!(trash[0].value == largest);
}

/// A control record may be somewhat larger than an object.
pub async fn control_records_are_limited(t: Fixture) {
    let store = t.open().await;
    // A layer that journals needs some of the room for itself.
    let largest = match t.journals() {
        0 => INTERNAL_VALUE_BYTES_MAX,
        _ => VALUE_BYTES_MAX,
    };
    let largest = Bytes::from(vec![0x5a; largest]);
    put(&store, &internal_key("a"), largest.clone()).await;
    assert!(get(&store, &internal_key("a")).await.unwrap().value == largest);
    let over = vec![0x5a; INTERNAL_VALUE_BYTES_MAX + 1];
    let over = Transaction::put(internal_key("b"), Precondition::Any, over);
    refused(&store, vec![over], ErrorKind::TooLarge).await;
    assert_eq!(get(&store, &internal_key("b")).await, None);
}

/// The writes of a transaction are limited.
pub async fn writes_per_transaction_are_limited(t: Fixture) {
    let store = t.open().await;
    let of = |count: usize| Transaction {
        writes: (0..count).map(|n| write_of(&n.to_string(), "1")).collect(),
        ..Transaction::default()
    };
    let over = of(WRITES_PER_TRANSACTION_MAX + 1);
    refused(&store, vec![over], ErrorKind::TooLarge).await;
    let mut full = of(WRITES_PER_TRANSACTION_MAX);
    let check = |number: usize| {
        let record = internal_key(&number.to_string());
        Write::check(record, Precondition::Absent)
    };
    let over = Transaction {
        writes: (0..=INTERNAL_WRITES_PER_TRANSACTION_MAX)
            .map(check)
            .collect(),
        ..full.clone()
    };
    refused(&store, vec![over], ErrorKind::TooLarge).await;
    // Control records are counted apart; a layer that journals adds its own to them.
    let records = match t.journals() {
        0 => INTERNAL_WRITES_PER_TRANSACTION_MAX,
        _ => WRITES_PER_TRANSACTION_MAX,
    };
    full.writes.extend((0..records).map(check));
    let at = revision(&crate::step::commit(&store, full).await);
    let items = list(&store, ListQuery::live(scope())).await;
    assert_eq!(items.len(), WRITES_PER_TRANSACTION_MAX);
    assert!(items.iter().all(|item| item.revision == at));
}

/// The transactions of a call are limited.
pub async fn transactions_per_call_are_limited(t: Fixture) {
    let store = t.open().await;
    let of = |count: usize| {
        (0..count)
            .map(|n| put_of(&n.to_string(), "1"))
            .collect::<Vec<_>>()
    };
    refused(&store, of(TRANSACTIONS_PER_COMMIT_MAX), ErrorKind::TooLarge).await;
    let outcomes = commit_all(&store, of(TRANSACTIONS_PER_COMMIT_MAX)).await;
    assert!(outcomes.is_sorted_by(|a, b| revision(a) < revision(b)));
    let items = list(&store, ListQuery::live(scope())).await;
    assert_eq!(items.len(), TRANSACTIONS_PER_COMMIT_MAX);
}

/// The value bytes of a call are limited.
pub async fn bytes_per_call_are_limited(t: Fixture) {
    let store = t.open().await;
    let large = Bytes::from(vec![1; VALUE_BYTES_MAX]);
    let count = COMMIT_BYTES_MAX / VALUE_BYTES_MAX;
    let full: Vec<_> = (0..count)
        .map(|n| put_of(&n.to_string(), large.clone()))
        .collect();
    // The good transaction beside these is the one byte too many.
    refused(&store, full.clone(), ErrorKind::TooLarge).await;
    let outcomes = commit_all(&store, full).await;
    assert!(outcomes.iter().all(|outcome| outcome.revision().is_some()));
    for number in 0..count {
        let stored = get(&store, &key(&number.to_string())).await.unwrap();
        assert!(stored.value == large);
    }
}

/// A key occurs once in a transaction, whatever the two writes are.
pub async fn a_key_occurs_once_in_a_transaction(t: Fixture) {
    let store = t.open().await;
    let a = || write_of("a", "1");
    for second in [
        write_of("a", "2"),
        Write::check(key("a"), Precondition::Any),
        Transaction::delete(key("a"), Precondition::Any, "x")
            .writes
            .remove(0),
    ] {
        let twice = Transaction::from(a())
            .and(write_of("b", "1"))
            .and(second.clone());
        refused(&store, vec![twice], ErrorKind::Invalid).await;
        let twice = Transaction::from(second).and(a());
        refused(&store, vec![twice], ErrorKind::Invalid).await;
    }
    let other_namespace = Transaction::from(a()).and(Write {
        key: key_in("other", "a"),
        precondition: Precondition::Any,
        op: Op::Put("1".into()),
    });
    revision(&crate::step::commit(&store, other_namespace).await);
}

/// The store's revision cannot be raised out of range.
pub async fn a_raise_is_limited(t: Fixture) {
    let store = t.open().await;
    for at_least in [Revision::MAX, Revision::new(u64::MAX)] {
        refused(
            &store,
            vec![Transaction::raise(at_least)],
            ErrorKind::Invalid,
        )
        .await;
    }
    put(&store, &key("a"), "1").await;
}

/// A limit of zero is refused wherever there is a limit.
pub async fn limits_of_zero_are_refused(t: Fixture) {
    let store = t.open().await;
    put(&store, &key("a"), "1").await;
    let list = ListQuery::live(scope());
    let changes = ChangesQuery::new(scope(), Revision::ZERO);
    let lists = [
        list.clone().limit(0),
        ListQuery {
            limit_bytes: Some(0),
            ..list
        },
    ];
    for query in lists {
        assert_eq!(error_kind(store.list(&query).await), ErrorKind::Invalid);
    }
    let queries = [
        changes.clone().limit(0),
        ChangesQuery {
            limit_bytes: Some(0),
            ..changes
        },
    ];
    for query in queries {
        assert_eq!(error_kind(store.changes(&query).await), ErrorKind::Invalid);
    }
}

/// A scope of parts that no key can have is refused by every query.
pub async fn malformed_scopes_are_refused(t: Fixture) {
    let store = t.open().await;
    for scope in [
        Scope::group("a/b"),
        Scope::group("x".repeat(GROUP_BYTES_MAX + 1)),
        Scope::resource("g", ""),
        Scope::resource("g", "r\0"),
        Scope::resource("g", "r".repeat(RESOURCE_BYTES_MAX + 1)),
        Scope::namespace("g", "r", "n\n"),
        Scope::namespace("g", "r", "n\u{7f}"),
        Scope::namespace("g", "r", "n".repeat(NAMESPACE_BYTES_MAX + 1)),
    ] {
        let answer = store.list(&ListQuery::live(scope.clone())).await;
        assert_eq!(error_kind(answer), ErrorKind::Invalid, "{scope:?}");
        let answer = store.list(&ListQuery::trash(scope.clone())).await;
        assert_eq!(error_kind(answer), ErrorKind::Invalid, "{scope:?}");
        let query = ChangesQuery::new(scope.clone(), Revision::ZERO);
        assert_eq!(
            error_kind(store.changes(&query).await),
            ErrorKind::Invalid,
            "{scope:?}"
        );
        assert_eq!(
            error_kind(store.stats(&scope).await),
            ErrorKind::Invalid,
            "{scope:?}"
        );
    }
}

/// A page has no more items than the limit of the trait, whatever a query asks for.
pub async fn pages_are_limited_by_count(t: Fixture) {
    let store = t.open().await;
    let keys: Vec<_> = (0..=PAGE_ITEMS_MAX)
        .map(|n| key(&format!("{n:06}")))
        .collect();
    put_many(&store, &keys, &"1".into()).await;
    for query in [
        ListQuery::live(scope()),
        ListQuery::live(scope()).limit(usize::MAX),
    ] {
        let page = store.list(&query).await.unwrap();
        assert_eq!(page.items.len(), PAGE_ITEMS_MAX);
        let rest = ListQuery::live(scope()).after(page.next.unwrap());
        assert_eq!(list(&store, rest).await.len(), 1);
    }
}

/// A page ends at the byte limit of the trait, whatever a query asks for.
pub async fn pages_are_limited_by_bytes(t: Fixture) {
    let store = t.open().await;
    let large = Bytes::from(vec![1; VALUE_BYTES_MAX]);
    let full = PAGE_BYTES_MAX / VALUE_BYTES_MAX;
    for number in 0..=full {
        put(&store, &key(&number.to_string()), large.clone()).await;
    }
    let query = ListQuery {
        limit_bytes: Some(usize::MAX),
        ..ListQuery::live(scope())
    };
    for query in [ListQuery::live(scope()), query] {
        let page = store.list(&query).await.unwrap();
        assert_eq!(page.items.len(), full);
        assert!(page.next.is_some());
    }
    let answer = store
        .changes(&ChangesQuery::new(scope(), Revision::ZERO))
        .await
        .unwrap();
    assert_eq!(answer.changes.len(), full);
}

/// The longest key there can be is as good as any.
pub async fn the_longest_key_works(t: Fixture) {
    let store = t.open().await;
    let longest = |last: char| {
        let mut name = "n".repeat(NAME_BYTES_MAX - 1);
        name.push(last);
        ResourceKey::new(
            "g".repeat(GROUP_BYTES_MAX),
            "r".repeat(RESOURCE_BYTES_MAX),
            "s".repeat(NAMESPACE_BYTES_MAX),
            name,
        )
        .unwrap()
    };
    let (a, b) = (longest('a'), longest('b'));
    put(&store, &b, "b").await;
    let at = put(&store, &a, "a").await;
    let wide = ResourceKey::new("g", "r", "", "\u{1f600}".repeat(NAME_BYTES_MAX / 4)).unwrap();
    put(&store, &wide, "wide").await;
    let scope = Scope::namespace(a.group(), a.resource(), a.namespace());
    let page = store
        .list(&ListQuery::live(scope.clone()).limit(1))
        .await
        .unwrap();
    assert_eq!(page.items[0].key, a);
    let rest = list(&store, ListQuery::live(scope).after(page.next.unwrap())).await;
    assert_eq!(rest[0].key, b);
    crate::step::delete(&store, &a).await;
    assert_eq!(
        crate::step::get_at(&store, &a, at).await.unwrap().value,
        "a"
    );
    assert_eq!(get(&store, &wide).await.unwrap().value, "wide");
}
