use storage_core::{ChangeKind, ErrorKind, ListQuery, Order, Revision, Scope};

use crate::Fixture;
use crate::step::{
    GROUP, RESOURCE, delete, error_kind, head, key, key_in, list, put, revisions, scope,
};

fn of(name: &str, order: Order) -> ListQuery {
    ListQuery::history(Scope::Object(key(name)), order)
}

/// The history of an object has its revisions in the asked order, values included.
pub async fn revisions_come_in_the_asked_order(t: Fixture) {
    let store = t.open().await;
    let mut written = Vec::new();
    for number in 0..6 {
        written.push(put(&store, &key("a"), number.to_string()).await);
        put(&store, &key("b"), "noise").await;
    }
    let ascending = list(&store, of("a", Order::Ascending)).await;
    assert_eq!(revisions(&ascending), written);
    for (number, stored) in ascending.iter().enumerate() {
        assert_eq!(stored.value, number.to_string());
    }
    let mut descending = list(&store, of("a", Order::Descending)).await;
    descending.reverse();
    assert_eq!(descending, ascending);
}

/// Keys ascend in both orders; only the revisions of each object turn round.
pub async fn keys_ascend_in_both_orders(t: Fixture) {
    let store = t.open().await;
    for name in ["b", "a", "b", "c", "a"] {
        put(&store, &key(name), "1").await;
    }
    for order in [Order::Ascending, Order::Descending] {
        let items = list(&store, ListQuery::history(scope(), order)).await;
        assert_eq!(crate::step::names(&items), ["a", "a", "b", "b", "c"]);
        let rises = items[0].revision < items[1].revision;
        assert_eq!(rises, order == Order::Ascending);
    }
}

/// Deletions are part of the history, and so are earlier lives of an object.
pub async fn history_has_deletions_and_earlier_lives(t: Fixture) {
    let store = t.open().await;
    let mut expected = Vec::new();
    for life in 0..3 {
        expected.push((
            put(&store, &key("a"), format!("{life}")).await,
            ChangeKind::Created,
        ));
        expected.push((
            put(&store, &key("a"), format!("{life}+")).await,
            ChangeKind::Updated,
        ));
        expected.push((delete(&store, &key("a")).await, ChangeKind::Deleted));
    }
    let items = list(&store, of("a", Order::Ascending)).await;
    let found: Vec<_> = items
        .iter()
        .map(|item| (item.revision, item.kind))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(items[2].value, "deletion record of a");
    assert_eq!(items[2].created, items[0].revision);
    assert_eq!(items[3].created, items[3].revision);
}

/// A history list shows nothing newer than its first page, in either order.
pub async fn writes_between_history_pages_are_not_seen(t: Fixture) {
    let store = t.open().await;
    for order in [Order::Ascending, Order::Descending] {
        for limit in 1..=4 {
            let namespace = format!("{order:?}-{limit}");
            for name in ["a", "b", "c"] {
                for number in 0..3 {
                    put(&store, &key_in(&namespace, name), number.to_string()).await;
                }
            }
            let scope = Scope::namespace(GROUP, RESOURCE, namespace.as_str());
            let whole = list(&store, ListQuery::history(scope.clone(), order)).await;
            let mut query = ListQuery::history(scope, order).limit(limit);
            let mut seen = Vec::new();
            loop {
                let page = store.list(&query).await.unwrap();
                seen.extend(page.items);
                assert!(seen.len() <= whole.len(), "{order:?} by {limit} has no end");
                put(&store, &key_in(&namespace, "a"), "later").await;
                put(&store, &key_in(&namespace, "b"), "later").await;
                delete(&store, &key_in(&namespace, "b")).await;
                put(&store, &key_in(&namespace, "bb"), "new").await;
                match page.next {
                    Some(cursor) => query = query.after(cursor),
                    None => break,
                }
            }
            assert_eq!(seen, whole, "{order:?} by {limit}");
        }
    }
}

/// Pages of one object's history join without a gap or an overlap, in both orders.
pub async fn history_pages_join(t: Fixture) {
    let store = t.open().await;
    let mut written = Vec::new();
    for number in 0..10 {
        written.push(put(&store, &key("a"), number.to_string()).await);
    }
    for order in [Order::Ascending, Order::Descending] {
        if order == Order::Descending {
            written.reverse();
        }
        let mut query = of("a", order).limit(3);
        for (number, expected) in written.chunks(3).enumerate() {
            let page = store.list(&query).await.unwrap();
            assert_eq!(revisions(&page.items), expected);
            assert_eq!(page.next.is_some(), number < 3);
            if let Some(cursor) = page.next {
                query = query.after(cursor);
            }
        }
    }
}

/// A page may end inside an object's history or at its end; the next one starts right after.
pub async fn a_history_page_ends_at_any_revision(t: Fixture) {
    let store = t.open().await;
    for name in ["a", "b", "c"] {
        put(&store, &key(name), "1").await;
        put(&store, &key(name), "2").await;
    }
    for order in [Order::Ascending, Order::Descending] {
        let whole = list(&store, ListQuery::history(scope(), order)).await;
        for limit in 1..=6 {
            let first = store
                .list(&ListQuery::history(scope(), order).limit(limit))
                .await;
            let first = first.unwrap();
            assert_eq!(first.items, whole[..limit]);
            let Some(cursor) = first.next else {
                assert_eq!(limit, 6);
                continue;
            };
            let rest = list(&store, ListQuery::history(scope(), order).after(cursor)).await;
            assert_eq!(rest, whole[limit..]);
        }
    }
}

/// The history of a scope has the objects of that scope only.
pub async fn history_is_limited_to_its_scope(t: Fixture) {
    let store = t.open().await;
    let inside = put(&store, &key_in("n1", "a"), "1").await;
    put(&store, &key_in("n10", "a"), "1").await;
    put(&store, &key_in("n", "a"), "1").await;
    let deleted = delete(&store, &key_in("n1", "a")).await;
    let query = ListQuery::history(Scope::namespace(GROUP, RESOURCE, "n1"), Order::Ascending);
    assert_eq!(revisions(&list(&store, query).await), [inside, deleted]);
}

/// A history list says at which revision it was read; it is not asked for one.
pub async fn a_history_list_takes_no_revision(t: Fixture) {
    let store = t.open().await;
    let at = put(&store, &key("a"), "1").await;
    let page = store.list(&of("a", Order::Ascending)).await.unwrap();
    assert!(page.revision >= at && page.revision <= head(&store));
    let answer = store.list(&of("a", Order::Ascending).at(at)).await;
    assert_eq!(error_kind(answer), ErrorKind::Invalid);
    let answer = store
        .list(&ListQuery::trash(scope()).at(Revision::ZERO))
        .await;
    assert_eq!(error_kind(answer), ErrorKind::Invalid);
}

/// The history of an object that never existed is empty.
pub async fn an_unknown_object_has_no_history(t: Fixture) {
    let store = t.open().await;
    put(&store, &key("ab"), "1").await;
    let page = store.list(&of("a", Order::Descending)).await.unwrap();
    assert_eq!((page.items, page.next), (vec![], None));
}
