//! Any four texts: either no key, or a key that the key-value layout keeps apart and in order. Any
//! scope lists, pages, counts and tells the changes of its own keys, as a sorted map does.
#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;

use backend_kv::{BTreeEngine, KvBackend};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use storage_core::{
    ChangesQuery, ListQuery, Order, Precondition, ResourceKey, Revision, Scope, StorageBackend,
    StorageBackendExt, SystemClock, Transaction,
};
use unistore_fuzz::RUNTIME;

/// Keys of one input.
const KEYS_MAX: usize = 64;

#[derive(Arbitrary, Debug)]
struct Input {
    texts: Vec<[String; 4]>,
    /// Which of them are deleted, by number.
    deleted: Vec<u8>,
    /// Parts that a scope names beyond those of the keys.
    other: [String; 3],
    page: u8,
}

/// What is there: the value of each key.
type Model = BTreeMap<ResourceKey, String>;

fuzz_target!(|input: Input| {
    RUNTIME.block_on(check(input));
});

async fn check(input: Input) {
    let backend = KvBackend::open(BTreeEngine::new(), Arc::new(SystemClock));
    let backend = backend.expect("an empty store opens");
    let keys: Vec<ResourceKey> = input
        .texts
        .into_iter()
        .take(KEYS_MAX)
        .filter_map(|[group, resource, namespace, name]| {
            ResourceKey::new(group, resource, namespace, name).ok()
        })
        .filter(|key| !key.is_internal())
        .collect();
    let mut model = Model::new();
    for key in &keys {
        let put = Transaction::put(key.clone(), Precondition::Any, key.to_string());
        let put = backend.commit_one(put).await;
        put.expect("a well-formed key is taken");
        model.insert(key.clone(), key.to_string());
    }
    for number in input.deleted {
        let Some(key) = keys.get(usize::from(number)) else {
            continue;
        };
        let delete = Transaction::delete(key.clone(), Precondition::Any, "gone");
        let deleted = backend.commit_one(delete).await;
        deleted.expect("a well-formed key is taken");
        model.remove(key);
    }
    let limit = usize::from(input.page).max(1);
    for scope in scopes(&keys, &input.other) {
        if scope.validate().is_ok() && !scope.is_internal() {
            agrees(&backend, &model, &keys, scope, limit).await;
        }
    }
}

/// Each scope that a key lies in, and some that are made of other parts.
fn scopes(keys: &[ResourceKey], other: &[String; 3]) -> Vec<Scope> {
    let [group, resource, namespace] = other.each_ref().map(String::as_str);
    let mut scopes = vec![
        Scope::All,
        Scope::group(group),
        Scope::resource(group, resource),
        Scope::namespace(group, resource, namespace),
    ];
    for key in keys {
        let (g, r, n) = (key.group(), key.resource(), key.namespace());
        scopes.push(Scope::group(g));
        scopes.push(Scope::resource(g, r));
        scopes.push(Scope::namespace(g, r, n));
        scopes.push(Scope::namespace(g, r, namespace));
        scopes.push(Scope::Object(key.clone()));
    }
    scopes
}

async fn agrees(
    backend: &KvBackend<BTreeEngine>,
    model: &Model,
    keys: &[ResourceKey],
    scope: Scope,
    limit: usize,
) {
    let live = ListQuery::live(scope.clone()).limit(limit);
    let listed: Vec<_> = pages(backend, live)
        .await
        .into_iter()
        .map(|stored| {
            (
                stored.key,
                String::from_utf8_lossy(&stored.value).into_owned(),
            )
        })
        .collect();
    let inside = model.iter().filter(|(key, _)| scope.contains(key));
    let expected: Vec<_> = inside.map(|(k, v)| (k.clone(), v.clone())).collect();
    assert_eq!(listed, expected, "{scope}");

    let history = ListQuery::history(scope.clone(), Order::Descending).limit(limit);
    let history = pages(backend, history).await;
    let query = ChangesQuery::new(scope.clone(), Revision::ZERO);
    let changes = backend.changes(&query).await;
    let changes = changes.expect("changes are told").changes;
    assert_eq!(history.len(), changes.len(), "{scope}");
    assert!(
        changes
            .iter()
            .all(|change| scope.contains(&change.object.key))
    );
    let ordered = |pair: &[storage_core::Stored]| {
        (&pair[0].key, pair[1].revision) < (&pair[1].key, pair[0].revision)
    };
    assert!(history.windows(2).all(ordered), "{scope}");

    let trash = pages(backend, ListQuery::trash(scope.clone()).limit(limit)).await;
    let trash: Vec<_> = trash.into_iter().map(|stored| stored.key).collect();
    let mut gone: Vec<_> = keys
        .iter()
        .filter(|key| scope.contains(key) && !model.contains_key(key))
        .cloned()
        .collect();
    gone.sort();
    gone.dedup();
    assert_eq!(trash, gone, "{scope}");

    if !matches!(scope, Scope::Object(_)) {
        let stats = backend.stats(&scope).await.expect("counts are told");
        let counted: u64 = stats.iter().map(|stats| stats.count).sum();
        assert_eq!(counted, expected.len() as u64, "{scope}");
    }
}

async fn pages(backend: &KvBackend<BTreeEngine>, query: ListQuery) -> Vec<storage_core::Stored> {
    backend.list_all(query).await.expect("a list works")
}
