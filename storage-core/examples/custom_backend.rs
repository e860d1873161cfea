//! A backend of your own, made of another one: a store that only lets itself be read.
//!
//! Run it with `cargo run -p storage-core --example custom_backend`. To write an engine instead,
//! read [`storage_core::Memory`] first, and put it through the `conformance` suite.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use storage_core::layer::Observe;
use storage_core::{
    BackendInfo, Changes, ChangesQuery, Compacted, Error, ErrorKind, ListQuery, Memory, Outcome,
    Page, ResourceKey, ResourceStats, Result, Retention, Revision, Scope, StorageBackend,
    StorageBackendExt, Stored, Transaction, WatchEvent, WatchQuery,
};
use tokio::sync::watch;

/// Passes reads on and refuses writes.
#[derive(Debug)]
struct ReadOnly<B>(B);

// A layer that forgets to pass a method on would hide it silently; this lint makes it an error.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: StorageBackend> StorageBackend for ReadOnly<B> {
    fn info(&self) -> &BackendInfo {
        self.0.info()
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>> {
        // A call that no store would take is refused for that reason.
        Transaction::validate_all(&transactions)?;
        let context = format!("{} is read-only", self.0.info().location);
        Err(Error::new(ErrorKind::Unsupported, "commit", context))
    }

    async fn get(&self, key: &ResourceKey, at: Option<Revision>) -> Result<Option<Stored>> {
        self.0.get(key, at).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page> {
        self.0.list(query).await
    }

    async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        self.0.changes(query).await
    }

    async fn compact(&self, _: &Retention) -> Result<Compacted> {
        let context = format!("{} is read-only", self.0.info().location);
        Err(Error::new(ErrorKind::Unsupported, "compact", context))
    }

    async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        self.0.stats(scope).await
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.0.head()
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let store = Arc::new(Memory::new());
    let key = ResourceKey::new("playlist.grafana.app", "playlists", "default", "mine")?;
    let created = store.create(key.clone(), "first".into()).await?;

    // The layer is a backend, so layers go around it, and the comfort and the watch come with it.
    let copy: Arc<dyn StorageBackend> = Arc::new(Observe::new(ReadOnly(Arc::clone(&store))));
    let refused = copy.update(key.clone(), created, "second".into()).await;
    println!("update: {:?}", refused.map_err(|error| error.to_string()));

    let query = WatchQuery::new(Scope::resource(key.group(), key.resource()), Revision::ZERO);
    let mut events = storage_core::watch(Arc::clone(&copy), query).boxed();
    store.update(key, created, "second".into()).await?;
    for _ in 0..2 {
        if let Some(Ok(WatchEvent::Change(change))) = events.next().await {
            let object = &change.object;
            println!("watch: {:?} {} {:?}", object.kind, object.key, object.value);
        }
    }
    Ok(())
}
