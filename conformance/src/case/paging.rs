use bytes::Bytes;
use storage_core::{
    Cursor, ErrorKind, ListQuery, Order, Page, Precondition, ResourceKey, Revision, Scope, Source,
    Stored, Transaction,
};

use crate::step::{
    GROUP, RESOURCE, commit, delete, error_kind, head, key, key_in, list, names, put, put_many,
    revision, scope,
};
use crate::{Backend, Fixture};

/// Fills a namespace so that every list source has items: 10 live objects, 5 deleted ones.
async fn fill(store: &Backend, namespace: &str) {
    let of = |number: usize| key_in(namespace, &format!("{number:02}"));
    for round in 0..3 {
        for number in 0..15 {
            put(store, &of(number), format!("value {round} of {number}")).await;
        }
    }
    for number in (0..15).step_by(3) {
        delete(store, &of(number)).await;
    }
}

fn every_list() -> [ListQuery; 4] {
    [
        ListQuery::live(scope()),
        ListQuery::history(scope(), Order::Ascending),
        ListQuery::history(scope(), Order::Descending),
        ListQuery::trash(scope()),
    ]
}

async fn page(store: &Backend, query: &ListQuery) -> Page {
    store.list(query).await.expect("list answers")
}

/// Reads a list page by page and checks each page against the limits.
async fn pages(store: &Backend, mut query: ListQuery, whole: &[Stored]) {
    let mut seen = Vec::new();
    let mut revision = None;
    loop {
        let page = page(store, &query).await;
        assert_eq!(*revision.get_or_insert(page.revision), page.revision);
        assert_eq!(
            page.items,
            whole[seen.len()..][..page.items.len()],
            "{query:?}"
        );
        check_end(&query, &page);
        seen.extend(page.items);
        assert_eq!(page.next.is_some(), seen.len() < whole.len(), "{query:?}");
        match page.next {
            Some(cursor) => query = query.after(cursor),
            None => return,
        }
    }
}

/// A page ends at the item that reaches a limit, not before and not after.
fn check_end(query: &ListQuery, page: &Page) {
    let bytes = |items: &[Stored]| items.iter().map(|item| item.value.len()).sum::<usize>();
    let full =
        |items: &[Stored]| items.len() >= query.items_max() || bytes(items) >= query.bytes_max();
    if let Some((_, all_but_last)) = page.items.split_last() {
        assert!(!full(all_but_last), "{query:?} has too much on a page");
    }
    if page.next.is_some() {
        assert!(full(&page.items), "{query:?} ends a page early");
    }
}

/// A page ends after `limit` items, whatever is listed, and `next` is set exactly if more follow.
pub async fn pages_end_by_count(t: Fixture) {
    let store = t.open().await;
    fill(&store, "ns").await;
    for query in every_list() {
        let whole = list(&store, query.clone()).await;
        for limit in 1..=whole.len() + 1 {
            pages(&store, query.clone().limit(limit), &whole).await;
        }
    }
}

/// A page ends after `limit_bytes` value bytes, and has an item even if that alone is larger.
pub async fn pages_end_by_bytes(t: Fixture) {
    let store = t.open().await;
    fill(&store, "ns").await;
    put(&store, &key("07-large"), vec![b'x'; 5_000]).await;
    for query in every_list() {
        let whole = list(&store, query.clone()).await;
        for limit_bytes in [1, 2, 13, 14, 15, 28, 100, 4_999, 5_000, 5_001, 100_000] {
            let query = ListQuery {
                limit_bytes: Some(limit_bytes),
                ..query.clone()
            };
            pages(&store, query, &whole).await;
        }
    }
}

/// Whichever limit is reached first ends the page.
pub async fn the_first_limit_ends_a_page(t: Fixture) {
    let store = t.open().await;
    for name in ["a", "b", "c", "d"] {
        put(&store, &key(name), vec![b'x'; 10]).await;
    }
    let read = async |limit, limit_bytes| {
        let query = ListQuery {
            limit: Some(limit),
            limit_bytes: Some(limit_bytes),
            ..ListQuery::live(scope())
        };
        page(&store, &query).await.items.len()
    };
    assert_eq!(read(3, 15).await, 2);
    assert_eq!(read(1, 15).await, 1);
    assert_eq!(read(3, 1_000).await, 3);
    assert_eq!(read(9, 40).await, 4);
}

/// Empty values have no bytes: only the count ends a page of them.
pub async fn empty_values_fill_no_page(t: Fixture) {
    let store = t.open().await;
    for name in ["a", "b", "c"] {
        put(&store, &key(name), Bytes::new()).await;
    }
    let query = ListQuery {
        limit_bytes: Some(1),
        ..ListQuery::live(scope())
    };
    let page = page(&store, &query).await;
    assert_eq!((page.items.len(), page.next), (3, None));
}

/// Writes of every kind between two pages are not seen, on any page, at any page size.
pub async fn writes_between_pages_are_not_seen(t: Fixture) {
    let store = t.open().await;
    for limit in [1, 2, 3, 7] {
        let namespace = format!("by-{limit}");
        fill(&store, &namespace).await;
        let scope = Scope::namespace(GROUP, RESOURCE, namespace.as_str());
        let whole = list(&store, ListQuery::live(scope.clone())).await;
        let mut query = ListQuery::live(scope).limit(limit);
        let mut seen = Vec::new();
        for round in 0.. {
            let page = page(&store, &query).await;
            seen.extend(page.items);
            assert!(seen.len() <= whole.len(), "pages of {limit} have no end");
            disturb(&store, &namespace, round).await;
            match page.next {
                Some(cursor) => query = query.after(cursor),
                None => break,
            }
        }
        assert_eq!(seen, whole, "pages of {limit}");
    }
}

/// Creates, updates, deletes, deletes and creates again: before, on and after any cursor.
async fn disturb(store: &Backend, namespace: &str, round: usize) {
    for number in 0..15 {
        let key = key_in(namespace, &format!("{number:02}"));
        match (number + round) % 4 {
            0 => {
                put(store, &key, "disturbed").await;
            }
            1 => {
                let delete = Transaction::delete(key, Precondition::Any, "disturbed");
                revision(&commit(store, delete).await);
            }
            2 => {
                put(store, &key, "disturbed").await;
                delete(store, &key).await;
                put(store, &key, "created again").await;
            }
            _ => {
                let new = key_in(namespace, &format!("{number:02}-{round}"));
                put(store, &new, "new").await;
            }
        }
    }
}

/// Pages of a list at an old revision stay at it.
pub async fn pages_at_a_revision_stay_there(t: Fixture) {
    let store = t.open().await;
    for name in ["a", "b", "c", "d", "e"] {
        put(&store, &key(name), "1").await;
    }
    put(&store, &key("b"), "2").await;
    delete(&store, &key("c")).await;
    let at = put(&store, &key("d"), "2").await;
    let expected = list(&store, ListQuery::live(scope())).await;
    delete(&store, &key("a")).await;
    put(&store, &key("aa"), "1").await;
    let first = page(&store, &ListQuery::live(scope()).at(at).limit(1)).await;
    put(&store, &key("e"), "3").await;
    let rest = ListQuery::live(scope()).limit(1).after(first.next.unwrap());
    let mut all = first.items;
    all.extend(list(&store, rest).await);
    assert_eq!(all, expected);
}

/// The last page is read at the first page's revision after thousands of writes, too.
pub async fn a_last_page_after_heavy_writes(t: Fixture) {
    let store = t.open().await;
    let keys: Vec<_> = (0..50).map(|number| key(&format!("{number:02}"))).collect();
    put_many(&store, &keys, &"before".into()).await;
    let expected = list(&store, ListQuery::live(scope())).await;
    let first = page(&store, &ListQuery::live(scope()).limit(49)).await;
    for round in 0..40 {
        put_many(&store, &keys, &format!("after {round}").into()).await;
    }
    delete(&store, &keys[49]).await;
    let last = page(&store, &ListQuery::live(scope()).after(first.next.unwrap())).await;
    assert_eq!(last.items, expected[49..]);
    assert_eq!((last.revision, last.next), (first.revision, None));
}

/// A list goes on after a cursor whose object is gone.
pub async fn a_cursor_outlives_its_object(t: Fixture) {
    let store = t.open().await;
    for name in ["a", "b", "c", "d"] {
        put(&store, &key(name), "1").await;
    }
    let first = page(&store, &ListQuery::live(scope()).limit(2)).await;
    let cursor = first.next.unwrap();
    assert_eq!(cursor.key, key("b"));
    for name in ["a", "b", "c"] {
        delete(&store, &key(name)).await;
    }
    let rest = page(&store, &ListQuery::live(scope()).after(cursor.clone())).await;
    assert_eq!(names(&rest.items), ["c", "d"]);
    let again = page(&store, &ListQuery::live(scope()).after(cursor)).await;
    assert_eq!(again, rest, "a page can be read twice");
}

/// Pages of a scope cross the borders of its namespaces, resources and groups, and end at its own.
pub async fn pages_cross_namespaces_and_stop_at_the_scope(t: Fixture) {
    let store = t.open().await;
    let mut keys = Vec::new();
    for group in ["g", "g1"] {
        for resource in ["r", "r1"] {
            for namespace in ["", "n", "n1"] {
                for name in ["a", "b", "c"] {
                    keys.push(ResourceKey::new(group, resource, namespace, name).unwrap());
                }
            }
        }
    }
    put_many(&store, &keys, &"1".into()).await;
    for scope in [
        Scope::All,
        Scope::group("g"),
        Scope::resource("g", "r"),
        Scope::namespace("g", "r", "n"),
        Scope::namespace("g", "r", ""),
        Scope::Object(keys[0].clone()),
    ] {
        let whole = list(&store, ListQuery::live(scope.clone())).await;
        let expected = keys.iter().filter(|key| scope.contains(key)).count();
        assert_eq!(whole.len(), expected);
        for limit in 1..=4 {
            pages(&store, ListQuery::live(scope.clone()).limit(limit), &whole).await;
        }
    }
}

/// A cursor is refused by a list of another source, order or scope, and with a revision.
pub async fn a_cursor_of_another_list_is_refused(t: Fixture) {
    let store = t.open().await;
    fill(&store, "ns").await;
    let cursor = page(&store, &ListQuery::live(scope()).limit(1))
        .await
        .next
        .unwrap();
    let with = |query: ListQuery| ListQuery {
        cursor: Some(cursor.clone()),
        ..query
    };
    for query in [
        with(ListQuery::trash(scope())),
        with(ListQuery::history(scope(), Order::Ascending)),
        with(ListQuery::live(Scope::namespace(GROUP, RESOURCE, "other"))),
        with(ListQuery::live(scope()).at(cursor.revision)),
        with(ListQuery {
            order: Order::Descending,
            ..ListQuery::live(scope())
        }),
    ] {
        let answer = store.list(&query).await;
        assert_eq!(error_kind(answer), ErrorKind::Invalid, "{query:?}");
    }
}

/// A cursor that names a revision the store never had is refused.
pub async fn a_cursor_of_the_future_is_refused(t: Fixture) {
    let store = t.open().await;
    put(&store, &key("a"), "1").await;
    for source in [Source::Live, Source::History, Source::Trash] {
        let cursor = Cursor {
            source,
            order: Order::Ascending,
            revision: head(&store).next(),
            key: key("a"),
            item: Revision::ZERO,
        };
        let query = ListQuery {
            source,
            ..ListQuery::live(scope())
        };
        let answer = store.list(&query.after(cursor)).await;
        assert_eq!(error_kind(answer), ErrorKind::FutureRevision);
    }
}

/// A cursor may name a key that never existed: a list goes on at the next one.
pub async fn a_cursor_between_two_objects_works(t: Fixture) {
    let store = t.open().await;
    for name in ["a", "c"] {
        put(&store, &key(name), "1").await;
    }
    put(&store, &key_in("ns2", "a"), "1").await;
    let cursor = Cursor {
        source: Source::Live,
        order: Order::Ascending,
        revision: head(&store),
        key: key("b"),
        item: Revision::ZERO,
    };
    let rest = page(&store, &ListQuery::live(scope()).after(cursor)).await;
    assert_eq!(names(&rest.items), ["c", "a"]);
}
