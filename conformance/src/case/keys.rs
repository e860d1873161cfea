use storage_core::{ListQuery, Order, ResourceKey, Revision, Scope, Source};

use crate::step::{
    GROUP, RESOURCE, changes, conflict, create, delete, get, key, key_in, list, put, revision,
};
use crate::{Backend, Fixture};

/// Parts of keys that are easily confused, cut, folded or misread.
const CONFUSING: [&str; 64] = [
    "a", "A", "a ", " a", "a  ", " ", "  ", "aa", "a.", "a-", "a_", "a%", "%", "_", "%%", "a'",
    "'", "''", "\"", "`", "\\", "\\\\", "\\'", "\\n", "\\0", "~", "a~", "~~", "!", "#", "$",
    "${a}", "*", "?", ":", ";", "--", "a--b", "(", ")", "[", "]", "[a]", "{a}", "|", "^", "&", "=",
    "<", ">", "@", ",", "+", ".", "..", "...", "0", "00", "1", "10", "9", "1e1", "null", "NULL",
];

/// The same, beyond ASCII: what collations fold, ignore, reorder or cannot hold.
const CONFUSING_TEXT: [&str; 46] = [
    "\u{e9}",
    "e\u{301}",
    "e",
    "E\u{301}",
    "\u{c9}",
    "\u{c5}",
    "\u{212b}",
    "A\u{30a}",
    "\u{df}",
    "ss",
    "SS",
    "\u{1e9e}",
    "i",
    "I",
    "\u{130}",
    "\u{131}",
    "\u{fb01}",
    "fi",
    "\u{ff41}",
    "\u{2460}",
    "\u{1f600}",
    "\u{1f601}",
    "\u{1f600}\u{200d}",
    "\u{ad}",
    "a\u{ad}",
    "\u{200b}",
    "a\u{200b}",
    "\u{feff}",
    "a\u{feff}",
    "\u{202e}a",
    "\u{2060}",
    "\u{a0}",
    "\u{3000}",
    "\u{fffd}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{10ffff}",
    "\u{e000}",
    "\u{d7ff}",
    "\u{627}",
    "\u{6cc}",
    "\u{64a}",
    "\u{3c3}",
    "\u{3c2}",
    "\u{3a3}",
    "\u{1d11e}",
];

/// Writes a value under each key and checks that each is an object of its own.
async fn each_is_its_own(store: &Backend, keys: &[ResourceKey], scope: Scope) {
    let mut written = Vec::new();
    for key in keys {
        let at = revision(&create(store, key, key.to_string()).await);
        written.push(at);
    }
    for (key, at) in keys.iter().zip(&written) {
        let stored = get(store, key).await.expect("the object is there");
        assert_eq!((&stored.key, stored.revision), (key, *at));
        assert_eq!(stored.value, key.to_string());
        assert_eq!(
            conflict(&create(store, key, "twice").await).actual,
            Some(*at)
        );
    }
    let mut sorted = keys.to_vec();
    sorted.sort();
    for limit in [1, 3, 1_000] {
        let items = list(store, ListQuery::live(scope.clone()).limit(limit)).await;
        let found: Vec<_> = items.into_iter().map(|item| item.key).collect();
        assert_eq!(found, sorted, "pages of {limit}");
    }
    let all = changes(store, scope, Revision::ZERO).await;
    assert!(all.iter().map(|change| &change.object.key).eq(keys));
}

/// Deletes every other object and checks that exactly those are gone.
async fn every_other_is_deleted(store: &Backend, keys: &[ResourceKey], scope: Scope) {
    let (mut gone, mut left) = (Vec::new(), Vec::new());
    for (number, key) in keys.iter().enumerate() {
        if number % 2 == 0 {
            delete(store, key).await;
            gone.push(key.clone());
        } else {
            left.push(key.clone());
        }
    }
    gone.sort();
    left.sort();
    for (source, expected) in [(Source::Live, left), (Source::Trash, gone)] {
        for limit in [1, 1_000] {
            let query = ListQuery {
                source,
                ..ListQuery::live(scope.clone())
            };
            let items = list(store, query.limit(limit)).await;
            let found: Vec<_> = items.into_iter().map(|item| item.key).collect();
            assert_eq!(found, expected, "{source:?}");
        }
    }
    let history = ListQuery::history(scope, Order::Descending).limit(1);
    assert_eq!(
        list(store, history).await.len(),
        keys.len() + keys.len().div_ceil(2)
    );
}

/// Names that differ in anything are different objects, in byte order.
pub async fn confusing_names_are_objects_of_their_own(t: Fixture) {
    let store = t.open().await;
    let keys = CONFUSING.map(key);
    each_is_its_own(&store, &keys, crate::step::scope()).await;
    every_other_is_deleted(&store, &keys, crate::step::scope()).await;
}

/// Names beyond ASCII that differ in any byte are different objects, in byte order.
pub async fn confusing_text_is_objects_of_their_own(t: Fixture) {
    let store = t.open().await;
    let keys = CONFUSING_TEXT.map(key);
    each_is_its_own(&store, &keys, crate::step::scope()).await;
    every_other_is_deleted(&store, &keys, crate::step::scope()).await;
}

/// Namespaces that differ in anything are different scopes, each with its own objects.
pub async fn confusing_namespaces_are_scopes_of_their_own(t: Fixture) {
    let store = t.open().await;
    let namespaces: Vec<_> = CONFUSING
        .into_iter()
        .chain(CONFUSING_TEXT)
        .chain([""])
        .collect();
    let keys: Vec<_> = namespaces
        .iter()
        .map(|namespace| key_in(namespace, "same"))
        .collect();
    each_is_its_own(&store, &keys, crate::step::scope()).await;
    for key in &keys {
        let scope = Scope::namespace(GROUP, RESOURCE, key.namespace());
        let items = list(&store, ListQuery::live(scope.clone())).await;
        assert_eq!(items.len(), 1, "{scope}");
        assert_eq!(items[0].key, *key);
        assert_eq!(
            changes(&store, scope.clone(), Revision::ZERO).await.len(),
            1,
            "{scope}"
        );
        let stats = store.stats(&scope).await.unwrap();
        assert_eq!(stats.len(), 1, "{scope}");
        assert_eq!((&*stats[0].namespace, stats[0].count), (key.namespace(), 1));
    }
    let stats = store.stats(&crate::step::scope()).await.unwrap();
    assert!(stats.is_sorted_by(|a, b| a < b));
    assert_eq!(stats.len(), keys.len());
}

/// Groups and resources, too.
pub async fn confusing_groups_and_resources_are_scopes_of_their_own(t: Fixture) {
    let store = t.open().await;
    let mut keys = Vec::new();
    for part in CONFUSING.into_iter().chain(CONFUSING_TEXT) {
        keys.push(ResourceKey::new(part, "r", "n", "same").unwrap());
        keys.push(ResourceKey::new("g", part, "n", "same").unwrap());
    }
    each_is_its_own(&store, &keys, Scope::All).await;
    for part in CONFUSING.into_iter().chain(CONFUSING_TEXT) {
        for scope in [Scope::group(part), Scope::resource("g", part)] {
            let expected = keys.iter().filter(|key| scope.contains(key)).count();
            assert_eq!(
                list(&store, ListQuery::live(scope.clone())).await.len(),
                expected
            );
            assert_eq!(
                store.stats(&scope).await.unwrap().len(),
                expected,
                "{scope}"
            );
        }
    }
    every_other_is_deleted(&store, &keys, Scope::All).await;
}

/// Keys are ordered part by part: no character of one part reaches over into the next.
pub async fn order_is_part_by_part(t: Fixture) {
    let store = t.open().await;
    let parts = [
        "a", "a ", "a!", "a-", "a.", "a0", "aa", "a~", "a\u{a0}", "ab",
    ];
    let mut keys = Vec::new();
    for namespace in parts {
        for name in parts {
            keys.push(key_in(namespace, name));
        }
    }
    keys.reverse();
    each_is_its_own(&store, &keys, crate::step::scope()).await;
    let scope = Scope::namespace(GROUP, RESOURCE, "a");
    assert_eq!(
        list(&store, ListQuery::live(scope)).await.len(),
        parts.len()
    );
}

/// Parts that together spell the same text are different keys.
pub async fn borders_between_parts_matter(t: Fixture) {
    let store = t.open().await;
    let keys: Vec<_> = [
        ["a", "b", "c", "d"],
        ["ab", "c", "", "d"],
        ["", "ab", "c", "d"],
        ["a", "bc", "", "d"],
        ["a", "b", "", "cd"],
        ["", "a", "bc", "d"],
        ["", "abcd", "", "d"],
        ["", "a", "b", "cd"],
        ["abc", "d", "", "d"],
    ]
    .into_iter()
    .map(|[g, r, ns, n]| ResourceKey::new(g, r, ns, n).unwrap())
    .collect();
    each_is_its_own(&store, &keys, Scope::All).await;
    every_other_is_deleted(&store, &keys, Scope::All).await;
}

/// An object outside of namespaces and one inside are different, and their scopes too.
pub async fn cluster_scoped_objects_have_a_scope_of_their_own(t: Fixture) {
    let store = t.open().await;
    put(&store, &key_in("", "a"), "cluster").await;
    put(&store, &key_in("ns", "a"), "namespaced").await;
    let cluster = list(
        &store,
        ListQuery::live(Scope::namespace(GROUP, RESOURCE, "")),
    )
    .await;
    assert_eq!(cluster.len(), 1);
    assert_eq!(cluster[0].value, "cluster");
    assert_eq!(
        list(&store, ListQuery::live(crate::step::scope()))
            .await
            .len(),
        2
    );
    delete(&store, &key_in("", "a")).await;
    assert_eq!(
        get(&store, &key_in("ns", "a")).await.unwrap().value,
        "namespaced"
    );
}
