use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use storage_core::layer::{ChangeCache, GroupCommit, Observe};
use storage_core::{
    BackendInfo, Changes, ChangesQuery, Clock, Compacted, ListQuery, Outcome, Page, ResourceKey,
    ResourceStats, Result, Retention, Revision, Scope, StorageBackend, Stored, Transaction,
};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::{Declared, Harness};

/// A layer that holds its backend longer than this after its last handle is gone never lets go.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// What puts layers around a backend.
pub type Wrap = fn(Arc<dyn StorageBackend>) -> Arc<dyn StorageBackend>;

/// Puts a group commit around a backend.
pub fn group_commit(backend: Arc<dyn StorageBackend>) -> Arc<dyn StorageBackend> {
    Arc::new(GroupCommit::new(backend))
}

/// Puts all layers around a backend, as a server stacks them.
pub fn layers(backend: Arc<dyn StorageBackend>) -> Arc<dyn StorageBackend> {
    Arc::new(Observe::new(ChangeCache::new(GroupCommit::new(backend))))
}

/// The harness of a backend under layers.
pub struct Layered<H> {
    harness: H,
    wrap: Wrap,
    open: watch::Sender<usize>,
}

impl<H: Harness> Layered<H> {
    /// Takes the harness of the backend and what goes around it.
    #[must_use]
    pub fn new(harness: H, wrap: Wrap) -> Self {
        Self {
            harness,
            wrap,
            open: watch::Sender::new(0),
        }
    }
}

impl<H: fmt::Debug> fmt::Debug for Layered<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Layered").field(&self.harness).finish()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<H: Harness> Harness for Layered<H> {
    async fn open(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn StorageBackend>> {
        let inner = self.harness.open(clock).await?;
        let tracked = Tracked {
            inner,
            _open: Open::new(self.open.clone()),
        };
        Ok((self.wrap)(Arc::new(tracked)))
    }

    fn declared(&self) -> Declared {
        self.harness.declared()
    }

    fn journals(&self) -> usize {
        self.harness.journals()
    }

    async fn closed(&self) {
        let mut open = self.open.subscribe();
        let closed = open.wait_for(|open| *open == 0);
        let closed = timeout(CLOSE_TIMEOUT, closed).await;
        drop(closed.expect("a layer lets go of its backend when its last handle is gone"));
        self.harness.closed().await;
    }

    async fn remove(&self) {
        self.harness.remove().await;
    }
}

/// A backend that is counted while it is open: layers end their tasks some time after their last
/// handle is gone.
#[derive(Debug)]
struct Tracked {
    inner: Arc<dyn StorageBackend>,
    // Dropped after the backend, as it stands after it.
    _open: Open,
}

#[derive(Debug)]
struct Open(watch::Sender<usize>);

impl Open {
    fn new(count: watch::Sender<usize>) -> Self {
        count.send_modify(|open| *open += 1);
        Self(count)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StorageBackend for Tracked {
    fn info(&self) -> &BackendInfo {
        self.inner.info()
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>> {
        self.inner.commit(transactions).await
    }

    async fn get(&self, key: &ResourceKey, at: Option<Revision>) -> Result<Option<Stored>> {
        self.inner.get(key, at).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page> {
        self.inner.list(query).await
    }

    async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        self.inner.changes(query).await
    }

    async fn compact(&self, policy: &Retention) -> Result<Compacted> {
        self.inner.compact(policy).await
    }

    async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        self.inner.stats(scope).await
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.inner.head()
    }
}
