mod feeder;
mod window;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::RwLock;
use tokio::sync::{Mutex, watch};
use tokio::task::{AbortHandle, JoinHandle};

use self::feeder::{Feed, Feeder};
use self::window::Window;
use crate::layer::observe::name;
use crate::limits::{CHANGE_CACHE_BYTES_MAX, CHANGE_CACHE_CHANGES_MAX};
use crate::{
    BackendInfo, Changes, ChangesQuery, Compacted, ListQuery, Outcome, Page, ResourceKey,
    ResourceStats, Result, Retention, Revision, Scope, StorageBackend, Stored, Transaction,
};

/// How long a request waits for the cache to reach the head before it asks the store instead.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// The recent changes in memory: a thousand watchers cost the store one reader.
///
/// One task follows the inner backend and keeps its newest changes. `changes` is answered from them
/// when they reach back far enough, and by the store when not, so that a watcher that is far behind
/// is `Expired` only when the store no longer has what it needs.
///
/// # Behaviour
/// * Answers are those of the store, promises included: an answer reaches the head as it was when
///   the call came. A call that is quicker than the task waits for it, briefly.
/// * Changes and their bytes are shared: answers from memory copy pointers only.
/// * Memory is bounded by [`ChangeCacheLimits`]; the oldest revisions leave first, each whole.
/// * While the task is behind, fails or hangs, the store answers. The task tries again until it
///   succeeds, and starts anew when the store dropped what it missed.
/// * A commit never waits for the cache.
///
/// Everything but `changes` goes straight to the inner backend. Dropping the layer ends the task,
/// which holds the inner backend only while it reads; [`shutdown`](Self::shutdown) waits for it.
pub struct ChangeCache<B> {
    inner: Arc<B>,
    head: watch::Receiver<Revision>,
    window: Arc<RwLock<Window>>,
    feed: watch::Receiver<Feed>,
    abort: AbortHandle,
    feeder: Mutex<Option<JoinHandle<()>>>,
}

/// How much a cache keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeCacheLimits {
    /// Most changes.
    pub changes: usize,
    /// Most bytes: values, values before, keys and what surrounds them.
    pub bytes: usize,
}

impl Default for ChangeCacheLimits {
    fn default() -> Self {
        Self {
            changes: CHANGE_CACHE_CHANGES_MAX,
            bytes: CHANGE_CACHE_BYTES_MAX,
        }
    }
}

impl<B: StorageBackend> ChangeCache<B> {
    /// Puts the layer on a backend. It keeps what changes from now on.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn new(inner: B) -> Self {
        Self::with_limits(inner, ChangeCacheLimits::default())
    }

    /// Puts the layer on a backend, with other limits.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn with_limits(inner: B, limits: ChangeCacheLimits) -> Self {
        let inner = Arc::new(inner);
        let head = inner.head();
        let window = Window::new(*head.borrow(), limits);
        let window = Arc::new(RwLock::new(window));
        let (feeder, feed) = Feeder::new(&inner, head.clone(), Arc::clone(&window));
        let feeder = tokio::spawn(feeder.run());
        Self {
            inner,
            head,
            window,
            feed,
            abort: feeder.abort_handle(),
            feeder: Mutex::new(Some(feeder)),
        }
    }

    /// Returns the backend below.
    pub fn inner(&self) -> &B {
        &self.inner
    }

    /// Ends the task and waits until it has let go of the inner backend. The layer still works;
    /// what it does not have in memory, the store answers.
    pub async fn shutdown(&self) {
        self.abort.abort();
        let mut feeder = self.feeder.lock().await;
        if let Some(task) = feeder.as_mut() {
            // Ended by the abort, which is no news.
            let _ = task.await;
        }
        *feeder = None;
    }

    /// Answers from memory, if the memory reaches from the query's start to the head.
    async fn recall(&self, query: &ChangesQuery) -> Option<Changes> {
        let head = *self.head.borrow();
        if query.after < self.window.read().start() || query.after > head {
            return None;
        }
        self.caught_up(head).await;
        let window = self.window.read();
        (window.end() >= head).then(|| window.changes(query))?
    }

    /// Waits until the window reaches `head` or there is no use in waiting.
    async fn caught_up(&self, head: Revision) {
        let done = |feed: &Feed| feed.end >= head || !feed.following;
        if done(&self.feed.borrow()) {
            return;
        }
        let mut feed = self.feed.clone();
        // However it ends, the caller looks at the window next.
        let _ = tokio::time::timeout(WAIT_MAX, feed.wait_for(done)).await;
    }
}

impl<B> Drop for ChangeCache<B> {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

impl<B: StorageBackend> fmt::Debug for ChangeCache<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeCache")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: StorageBackend> StorageBackend for ChangeCache<B> {
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
        query.validate()?;
        let recalled = self.recall(query).await;
        let source = if recalled.is_some() {
            "memory"
        } else {
            "store"
        };
        metrics::counter!(name::RECALLED, "source" => source).increment(1);
        match recalled {
            Some(changes) => Ok(changes),
            None => self.inner.changes(query).await,
        }
    }

    async fn compact(&self, policy: &Retention) -> Result<Compacted> {
        let compacted = self.inner.compact(policy).await?;
        // Else a query below the horizon would be answered or not, depending on the cache's size.
        self.window.write().compact(compacted.horizon);
        Ok(compacted)
    }

    async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        self.inner.stats(scope).await
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.inner.head()
    }
}
