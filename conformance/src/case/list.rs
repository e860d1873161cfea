use std::collections::HashSet;

use storage_core::{ErrorKind, ListQuery, Order, ResourceKey, Revision, Scope};

use crate::Fixture;
use crate::check::Replay;
use crate::step::{
    GROUP, RESOURCE, changes, delete, error_kind, head, key, key_in, list, names, put, scope,
    text_of,
};

/// Items are in key order, whatever the order of the writes.
pub async fn items_are_in_key_order(t: Fixture) {
    let store = t.open().await;
    for name in ["m", "b", "z", "a.b", "a", "a-b", "ab", "A", "10", "9"] {
        put(&store, &key(name), name).await;
    }
    let items = list(&store, ListQuery::live(scope())).await;
    assert_eq!(
        names(&items),
        ["10", "9", "A", "a", "a-b", "a.b", "ab", "b", "m", "z"]
    );
    assert!(items.iter().all(|item| text_of(item) == item.key.name()));
}

/// A scope lists the keys that lie in it and no others, at every level.
pub async fn a_scope_lists_its_keys_and_no_others(t: Fixture) {
    let store = t.open().await;
    let mut keys = Vec::new();
    for group in ["", "g", "g1", "g.a"] {
        for resource in ["r", "r1", "rs"] {
            for namespace in ["", "n", "n1", "n-1"] {
                for name in ["a", "b"] {
                    keys.push(ResourceKey::new(group, resource, namespace, name).unwrap());
                }
            }
        }
    }
    for key in &keys {
        put(&store, key, key.to_string()).await;
    }
    keys.sort();
    let of_keys = keys.iter().flat_map(|key| {
        [
            Scope::group(key.group()),
            Scope::resource(key.group(), key.resource()),
            Scope::namespace(key.group(), key.resource(), key.namespace()),
            Scope::Object(key.clone()),
        ]
    });
    let mut scopes: HashSet<_> = of_keys.collect();
    scopes.extend([Scope::All, Scope::group("unknown")]);
    for scope in scopes {
        let expected: Vec<_> = keys.iter().filter(|key| scope.contains(key)).collect();
        for query in [
            ListQuery::live(scope.clone()),
            ListQuery::live(scope.clone()).at(head(&store)),
            ListQuery::history(scope.clone(), Order::Descending),
        ] {
            let items = list(&store, query).await;
            let found: Vec<_> = items.iter().map(|item| &item.key).collect();
            assert_eq!(found, expected, "{scope}");
        }
        let mut changed: Vec<_> = changes(&store, scope.clone(), Revision::ZERO)
            .await
            .iter()
            .map(|change| change.object.key.clone())
            .collect();
        changed.sort();
        assert_eq!(
            changed.iter().collect::<Vec<_>>(),
            expected,
            "changes of {scope}"
        );
    }
}

/// Objects that do not exist are not in a live list.
pub async fn deleted_objects_are_not_listed(t: Fixture) {
    let store = t.open().await;
    for name in ["a", "b", "c"] {
        put(&store, &key(name), "1").await;
    }
    delete(&store, &key("b")).await;
    assert_eq!(
        names(&list(&store, ListQuery::live(scope())).await),
        ["a", "c"]
    );
    put(&store, &key("b"), "2").await;
    delete(&store, &key("c")).await;
    assert_eq!(
        names(&list(&store, ListQuery::live(scope())).await),
        ["a", "b"]
    );
    delete(&store, &key("a")).await;
    delete(&store, &key("b")).await;
    let page = store.list(&ListQuery::live(scope())).await.unwrap();
    assert_eq!((page.items, page.next), (vec![], None));
}

/// A list at any revision shows the objects as they were then.
pub async fn a_list_at_a_revision_shows_that_revision(t: Fixture) {
    let store = t.open().await;
    for step in 0_u32..40 {
        let key = key_in(
            ["ns", "other"][step as usize % 2],
            &(step * 3 % 7).to_string(),
        );
        if step % 5 == 4 && crate::step::get(&store, &key).await.is_some() {
            delete(&store, &key).await;
        } else {
            put(&store, &key, step.to_string()).await;
        }
    }
    let replay = Replay::new(changes(&store, scope(), Revision::ZERO).await);
    for scope in [
        scope(),
        Scope::namespace(GROUP, RESOURCE, "ns"),
        Scope::Object(key("0")),
    ] {
        for at in 0..=head(&store).get() {
            let at = Revision::new(at);
            let page = store
                .list(&ListQuery::live(scope.clone()).at(at))
                .await
                .unwrap();
            assert_eq!(page.revision, at);
            assert_eq!(page.items, replay.list_at(&scope, at), "{scope} at {at}");
        }
    }
}

/// A list without a revision is read at one that holds every acknowledged write, and says so.
pub async fn a_list_has_the_revision_it_was_read_at(t: Fixture) {
    let store = t.open().await;
    for number in 0..5 {
        let at = put(&store, &key("a"), number.to_string()).await;
        let page = store.list(&ListQuery::live(scope())).await.unwrap();
        assert!(page.revision >= at);
        assert!(page.revision <= head(&store));
        assert_eq!(page.items[0].revision, at);
    }
    // A write elsewhere moves the revision of a list that does not show it.
    let elsewhere = put(
        &store,
        &ResourceKey::new("else", "r", "", "a").unwrap(),
        "1",
    )
    .await;
    let page = store.list(&ListQuery::live(scope())).await.unwrap();
    assert!(page.revision >= elsewhere);
}

/// A list at a revision that the store has not reached is an error.
pub async fn listing_at_the_future_is_refused(t: Fixture) {
    let store = t.open().await;
    put(&store, &key("a"), "1").await;
    for at in [head(&store).next(), Revision::MAX] {
        let answer = store.list(&ListQuery::live(scope()).at(at)).await;
        assert_eq!(error_kind(answer), ErrorKind::FutureRevision);
    }
}

/// A new store has nothing in any list, and no page after the first.
pub async fn an_empty_store_has_empty_lists(t: Fixture) {
    let store = t.open().await;
    for scope in [Scope::All, scope(), Scope::Object(key("a"))] {
        for query in [
            ListQuery::live(scope.clone()),
            ListQuery::live(scope.clone()).at(Revision::ZERO),
            ListQuery::history(scope.clone(), Order::Ascending),
            ListQuery::history(scope.clone(), Order::Descending),
            ListQuery::trash(scope.clone()),
        ] {
            let page = store.list(&query).await.unwrap();
            assert_eq!((page.items, page.next), (vec![], None), "{query:?}");
        }
        assert_eq!(changes(&store, scope, Revision::ZERO).await, []);
    }
    assert_eq!(store.stats(&Scope::All).await.unwrap(), []);
}
