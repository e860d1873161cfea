//! Any four texts: either no key, or a key that the key-value layout keeps apart and in order.
#![no_main]

use std::sync::Arc;

use backend_kv::{BTreeEngine, KvBackend};
use libfuzzer_sys::fuzz_target;
use storage_core::{
    ListQuery, Precondition, ResourceKey, Scope, StorageBackend, StorageBackendExt, SystemClock,
    Transaction,
};

fuzz_target!(|texts: Vec<[String; 4]>| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime starts");
    runtime.block_on(check(texts));
});

async fn check(texts: Vec<[String; 4]>) {
    let backend = KvBackend::open(BTreeEngine::new(), Arc::new(SystemClock));
    let backend = backend.expect("an empty store opens");
    let mut keys: Vec<ResourceKey> = texts
        .into_iter()
        .take(64)
        .filter_map(|[group, resource, namespace, name]| {
            ResourceKey::new(group, resource, namespace, name).ok()
        })
        .filter(|key| !key.is_internal())
        .collect();
    for key in &keys {
        let put = Transaction::put(key.clone(), Precondition::Any, key.to_string());
        backend
            .commit(vec![put])
            .await
            .expect("a well-formed key is taken");
    }
    keys.sort();
    keys.dedup();
    let all = backend
        .list_all(ListQuery::live(Scope::All))
        .await
        .expect("a list works");
    let listed: Vec<_> = all.iter().map(|stored| stored.key.clone()).collect();
    assert_eq!(listed, keys);
    for stored in &all {
        assert_eq!(stored.value, stored.key.to_string());
    }
    for key in &keys {
        let scope = Scope::namespace(key.group(), key.resource(), key.namespace());
        let page = backend
            .list(&ListQuery::live(scope.clone()))
            .await
            .expect("a list works");
        let expected: Vec<_> = keys.iter().filter(|key| scope.contains(key)).collect();
        assert_eq!(
            page.items
                .iter()
                .map(|stored| &stored.key)
                .collect::<Vec<_>>(),
            expected
        );
    }
}
