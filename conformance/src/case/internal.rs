use storage_core::{
    ChangesQuery, ErrorKind, INTERNAL_GROUP, ListQuery, Order, Precondition, ResourceKey, Revision,
    Scope, Transaction, Write,
};

use crate::Fixture;
use crate::step::{
    changes, commit, conflict, create, delete, error_kind, get, head, internal_key, key, list,
    names, put, revision, text, update,
};

fn control_records() -> Scope {
    Scope::resource(INTERNAL_GROUP, "conformance")
}

/// A control record has a value, a revision and preconditions like any object.
pub async fn control_records_have_a_value_and_a_revision(t: Fixture) {
    let store = t.open().await;
    let a = internal_key("a");
    let first = revision(&create(&store, &a, "1").await);
    assert_eq!(conflict(&create(&store, &a, "2").await).actual, Some(first));
    let second = revision(&update(&store, &a, first, "2").await);
    assert!(second > first);
    assert_eq!(
        conflict(&update(&store, &a, first, "3").await).actual,
        Some(second)
    );
    let stored = get(&store, &a).await.unwrap();
    assert_eq!((stored.revision, stored.created), (second, first));
    assert_eq!(stored.value, "2");
    let deleted = delete(&store, &a).await;
    assert!(deleted > second);
    assert_eq!(get(&store, &a).await, None);
    assert_eq!(
        conflict(&update(&store, &a, second, "3").await).actual,
        None
    );
    let again = revision(&create(&store, &a, "3").await);
    assert_eq!(get(&store, &a).await.unwrap().created, again);
}

/// No list, change or count of all objects shows a control record.
pub async fn control_records_are_invisible(t: Fixture) {
    let store = t.open().await;
    for name in ["a", "b"] {
        put(&store, &internal_key(name), "1").await;
        put(&store, &internal_key(name), "2").await;
    }
    delete(&store, &internal_key("b")).await;
    for query in [
        ListQuery::live(Scope::All),
        ListQuery::live(Scope::All).at(head(&store)),
        ListQuery::history(Scope::All, Order::Ascending),
        ListQuery::history(Scope::All, Order::Descending),
        ListQuery::trash(Scope::All),
    ] {
        assert_eq!(list(&store, query).await, []);
    }
    assert_eq!(changes(&store, Scope::All, Revision::ZERO).await, []);
    assert_eq!(store.stats(&Scope::All).await.unwrap(), []);
    // Objects before and after the internal group in key order are not hidden with it.
    for group in ["unistore.interna", "unistore.internal0", "a", "z", ""] {
        put(&store, &ResourceKey::new(group, "r", "", "a").unwrap(), "1").await;
    }
    for limit in 1..=6 {
        let mut query = ListQuery::live(Scope::All).limit(limit);
        let mut groups = Vec::new();
        loop {
            let page = store.list(&query).await.unwrap();
            groups.extend(page.items.iter().map(|item| item.key.group().to_owned()));
            match page.next {
                Some(cursor) => query = query.after(cursor),
                None => break,
            }
        }
        assert_eq!(
            groups,
            ["", "a", "unistore.interna", "unistore.internal0", "z"]
        );
    }
    assert_eq!(changes(&store, Scope::All, Revision::ZERO).await.len(), 5);
    assert_eq!(store.stats(&Scope::All).await.unwrap().len(), 5);
}

/// Control records have no history, no trash, no old revisions and no changes to ask for.
pub async fn control_records_have_no_past(t: Fixture) {
    let store = t.open().await;
    put(&store, &internal_key("a"), "1").await;
    for scope in [
        Scope::group(INTERNAL_GROUP),
        control_records(),
        Scope::Object(internal_key("a")),
    ] {
        for query in [
            ListQuery::history(scope.clone(), Order::Ascending),
            ListQuery::trash(scope.clone()),
            ListQuery::live(scope.clone()).at(head(&store)),
        ] {
            assert_eq!(error_kind(store.list(&query).await), ErrorKind::Invalid);
        }
        let query = ChangesQuery::new(scope, Revision::ZERO);
        assert_eq!(error_kind(store.changes(&query).await), ErrorKind::Invalid);
    }
}

/// A scope that names the internal group lists its records, in key order, page by page.
pub async fn control_records_are_listed_by_name(t: Fixture) {
    let store = t.open().await;
    for name in ["c", "a", "d", "b"] {
        put(&store, &internal_key(name), name.to_owned()).await;
    }
    put(&store, &key("a"), "1").await;
    delete(&store, &internal_key("d")).await;
    for scope in [
        control_records(),
        Scope::namespace(INTERNAL_GROUP, "conformance", ""),
    ] {
        for limit in 1..=4 {
            let mut query = ListQuery::live(scope.clone()).limit(limit);
            let mut items = Vec::new();
            loop {
                let page = store.list(&query).await.unwrap();
                assert!(page.items.len() <= limit);
                items.extend(page.items);
                assert_eq!(page.next.is_some(), items.len() < 3);
                match page.next {
                    Some(cursor) => query = query.after(cursor),
                    None => break,
                }
            }
            assert_eq!(names(&items), ["a", "b", "c"]);
        }
    }
    let object = list(&store, ListQuery::live(Scope::Object(internal_key("b")))).await;
    assert_eq!(names(&object), ["b"]);
    let group = list(&store, ListQuery::live(Scope::group(INTERNAL_GROUP))).await;
    assert!(group.iter().any(|item| item.key == internal_key("a")));
    assert!(group.iter().all(|item| item.key.is_internal()));
}

/// A transaction of objects and control records is one: one revision, all or nothing.
pub async fn control_records_and_objects_share_transactions(t: Fixture) {
    let store = t.open().await;
    let both = |precondition| {
        Transaction::put(key("a"), Precondition::Any, "object").and(Write {
            key: internal_key("a"),
            precondition,
            op: storage_core::Op::Put("record".into()),
        })
    };
    let at = revision(&commit(&store, both(Precondition::Absent)).await);
    assert_eq!(get(&store, &key("a")).await.unwrap().revision, at);
    assert_eq!(get(&store, &internal_key("a")).await.unwrap().revision, at);
    let outcome = commit(&store, both(Precondition::Absent)).await;
    assert_eq!(conflict(&outcome).key, internal_key("a"));
    assert_eq!(get(&store, &key("a")).await.unwrap().revision, at);
    let all = changes(&store, Scope::All, Revision::ZERO).await;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].object.key, key("a"));
    let guard = Transaction::put(key("b"), Precondition::Any, "1")
        .and(Write::check(internal_key("a"), Precondition::Revision(at)));
    let guarded = revision(&commit(&store, guard.clone()).await);
    assert!(guarded > at);
    put(&store, &internal_key("a"), "moved").await;
    conflict(&commit(&store, guard).await);
    assert_eq!(get(&store, &key("b")).await.unwrap().revision, guarded);
}

/// A write of a control record takes a revision that `head` and `changes` reach.
pub async fn control_records_take_revisions(t: Fixture) {
    let store = t.open().await;
    let object = put(&store, &key("a"), "1").await;
    let record = put(&store, &internal_key("a"), "1").await;
    assert!(record > object);
    assert!(head(&store) >= record);
    let answer = store
        .changes(&ChangesQuery::new(Scope::All, object))
        .await
        .unwrap();
    assert_eq!(answer.changes, []);
    assert!(answer.through >= record);
    assert_eq!(
        store
            .list(&ListQuery::live(Scope::All).at(record))
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    assert!(put(&store, &key("a"), "2").await > record);
}

/// Names that only look like the internal group are ordinary.
pub async fn only_the_internal_group_is_internal(t: Fixture) {
    let store = t.open().await;
    let near = ResourceKey::new("unistore.internal.example", "r", "", "a").unwrap();
    put(&store, &near, "1").await;
    let inside = ResourceKey::new("g", INTERNAL_GROUP, INTERNAL_GROUP, INTERNAL_GROUP).unwrap();
    put(&store, &inside, "2").await;
    assert_eq!(list(&store, ListQuery::live(Scope::All)).await.len(), 2);
    assert_eq!(changes(&store, Scope::All, Revision::ZERO).await.len(), 2);
    assert_eq!(text(&store, &near).await.unwrap(), "1");
    assert_eq!(
        list(&store, ListQuery::live(Scope::group(INTERNAL_GROUP)))
            .await
            .iter()
            .filter(|item| !item.key.is_internal())
            .count(),
        0
    );
}
