use std::sync::Arc;
use std::time::Duration;

use storage_core::{StorageBackendExt, SystemClock};

use crate::engines::{key, on_each_server, open};
use crate::proxy::Proxy;
use crate::stores::{Store, open_url, options};

/// How long a store is left alone before it counts as idle.
const CALM_DOWN: Duration = Duration::from_secs(5);
/// How long an idle store is looked at.
const WATCH: Duration = Duration::from_secs(5);

on_each_server! {
    an_idle_store_costs_next_to_nothing
}

async fn an_idle_store_costs_next_to_nothing<S: Store>(store: Arc<S>) {
    drop(open(&*store).await);
    let (proxy, url) = Proxy::start(&store.url()).await;
    let handle = open_url(&url, &options(), Arc::new(SystemClock))
        .await
        .unwrap();
    let _watcher = handle.head();
    handle.create(key("", "a"), "1".into()).await.unwrap();
    tokio::time::sleep(CALM_DOWN).await;
    let before = proxy.sent();
    tokio::time::sleep(WATCH).await;
    let sent = proxy.sent() - before;
    println!(
        "{}: {sent} exchanges in {WATCH:?} of idleness",
        handle.info().engine
    );
    // One look per second, which is an exchange or two.
    assert!(sent <= 4 * WATCH.as_secs(), "{sent} exchanges in {WATCH:?}");
}
