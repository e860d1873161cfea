use bytes::Bytes;
use storage_core::{ChangeKind, ListQuery, Precondition, Scope, Transaction};

use crate::Fixture;
use crate::step::{
    GROUP, RESOURCE, commit, commit_all, delete, get, key, key_in, list, names, put, revision,
    scope,
};

fn trash() -> ListQuery {
    ListQuery::trash(scope())
}

/// A deleted object is in the trash by its deletion record.
pub async fn a_deleted_object_is_in_the_trash(t: Fixture) {
    let store = t.open().await;
    let created = put(&store, &key("a"), "1").await;
    put(&store, &key("b"), "1").await;
    assert_eq!(list(&store, trash()).await, []);
    let deleted = delete(&store, &key("a")).await;
    let items = list(&store, trash()).await;
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].key, key("a"));
    assert_eq!(items[0].kind, ChangeKind::Deleted);
    assert_eq!((items[0].revision, items[0].created), (deleted, created));
    assert_eq!(items[0].value, "deletion record of a");
}

/// Creating an object again takes it out of the trash and starts a life of its own.
pub async fn creating_again_leaves_the_trash(t: Fixture) {
    let store = t.open().await;
    let first = put(&store, &key("a"), "1").await;
    delete(&store, &key("a")).await;
    let second = put(&store, &key("a"), "2").await;
    assert_eq!(list(&store, trash()).await, []);
    let again = get(&store, &key("a")).await.unwrap();
    assert_eq!((again.kind, again.created), (ChangeKind::Created, second));
    assert_ne!(first, second);
    put(&store, &key("a"), "3").await;
    assert_eq!(list(&store, trash()).await, []);
}

/// An object that was deleted several times is in the trash once, by its last deletion.
pub async fn the_last_deletion_is_in_the_trash_once(t: Fixture) {
    let store = t.open().await;
    let mut last = put(&store, &key("a"), "1").await;
    for _ in 0..4 {
        put(&store, &key("a"), "again").await;
        last = delete(&store, &key("a")).await;
    }
    let items = list(&store, trash()).await;
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].revision, last);
}

/// Deleted, created and deleted in one call: the trash has what the last transaction left.
pub async fn trash_follows_a_call_of_many_transactions(t: Fixture) {
    let store = t.open().await;
    let put = |name: &str| Transaction::put(key(name), Precondition::Absent, "v");
    let delete = |name: &str, record: &'static str| {
        Transaction::delete(key(name), Precondition::Present, record)
    };
    let outcomes = commit_all(
        &store,
        vec![
            put("a"),
            delete("a", "first"),
            put("b"),
            put("a"),
            delete("b", "b"),
            delete("a", "second"),
            put("b"),
        ],
    )
    .await;
    let items = list(&store, trash()).await;
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].revision, revision(&outcomes[5]));
    assert_eq!(items[0].value, "second");
}

/// The trash is listed in key order, by scope.
pub async fn trash_is_listed_by_scope_in_key_order(t: Fixture) {
    let store = t.open().await;
    for (namespace, name) in [
        ("n2", "a"),
        ("n1", "b"),
        ("n10", "c"),
        ("n1", "a"),
        ("", "z"),
    ] {
        put(&store, &key_in(namespace, name), "1").await;
    }
    for (namespace, name) in [("n1", "b"), ("", "z"), ("n10", "c"), ("n1", "a")] {
        delete(&store, &key_in(namespace, name)).await;
    }
    let all = list(&store, trash()).await;
    let found: Vec<_> = all
        .iter()
        .map(|i| (i.key.namespace(), i.key.name()))
        .collect();
    assert_eq!(found, [("", "z"), ("n1", "a"), ("n1", "b"), ("n10", "c")]);
    let namespace = ListQuery::trash(Scope::namespace(GROUP, RESOURCE, "n1"));
    assert_eq!(names(&list(&store, namespace).await), ["a", "b"]);
    let object = ListQuery::trash(Scope::Object(key_in("n2", "a")));
    assert_eq!(list(&store, object).await, []);
}

/// What is restored between two pages of the trash may be missing; all else is there once.
pub async fn trash_pages_skip_nothing_but_what_was_restored(t: Fixture) {
    let store = t.open().await;
    for number in 0..9 {
        put(&store, &key(&number.to_string()), "1").await;
        delete(&store, &key(&number.to_string())).await;
    }
    let mut query = trash().limit(2);
    let mut seen = Vec::new();
    let mut left: Vec<String> = (0..9).map(|number| number.to_string()).collect();
    for restored in ["1", "6", "8", "0", "3"] {
        let page = store.list(&query).await.unwrap();
        seen.extend(page.items.iter().map(|item| item.key.name().to_owned()));
        put(&store, &key(restored), "restored").await;
        left.retain(|name| name != restored);
        match page.next {
            Some(cursor) => query = query.after(cursor),
            None => break,
        }
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    for name in ["2", "4", "5", "7"] {
        assert!(
            seen.iter().any(|seen| seen == name),
            "{name} is missing in {seen:?}"
        );
    }
    assert_eq!(names(&list(&store, trash()).await), left);
}

/// A deletion record may be empty, and is a record all the same.
pub async fn a_deletion_record_may_be_empty(t: Fixture) {
    let store = t.open().await;
    put(&store, &key("a"), "1").await;
    let delete = Transaction::delete(key("a"), Precondition::Any, Bytes::new());
    let at = revision(&commit(&store, delete).await);
    assert_eq!(get(&store, &key("a")).await, None);
    let items = list(&store, trash()).await;
    assert_eq!((items[0].revision, items[0].value.len()), (at, 0));
}
