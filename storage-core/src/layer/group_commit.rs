mod queue;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use self::queue::Queue;
use crate::limits::{
    GROUP_COMMIT_QUEUE_BYTES_MAX, GROUP_COMMIT_QUEUE_TRANSACTIONS_MAX, GROUP_COMMIT_REGROUP,
    GROUP_COMMIT_WAITING_MAX,
};
use crate::{
    BackendInfo, Changes, ChangesQuery, Compacted, ListQuery, Outcome, Page, ResourceKey,
    ResourceStats, Result, Retention, Revision, Scope, StorageBackend, Stored, Transaction,
};

/// Many callers, one commit: merges the calls of `commit` that wait while one is under way.
///
/// A durable commit costs about the same for one transaction as for hundreds, so under load the
/// callers share it. One task commits; what arrives meanwhile is its next batch. There is no timer:
/// a call that finds the task idle is committed at once, or after the moment that the callers of a
/// batch just answered need to come back ([`GroupCommitLimits::regroup`]).
///
/// # Behaviour
/// * Each caller gets the outcomes of its own transactions, as if it were alone: a call that breaks
///   a rule is refused before it is queued, and when the store refuses a batch for what one of its
///   calls asks, each call is committed by itself.
/// * Calls are committed in the order in which they were queued, a call never in two parts.
/// * A caller that goes away harms nobody: what it queued is committed, what it had not queued yet
///   is not.
/// * A failure that says nothing about a single call is everybody's: each caller of the batch gets
///   a clone of the error. If the store panics, they get `Indeterminate`.
/// * The queue is bounded by [`GroupCommitLimits`]; a caller waits for room in it, in order, and is
///   `Overloaded` when too many wait already.
///
/// Everything but `commit` goes straight to the inner backend.
///
/// [`shutdown`](Self::shutdown) commits what is queued and waits for it. Dropping the layer commits
/// what is queued too (all of it from callers that went away), but does not wait. The task
/// holds the inner backend only while it commits.
pub struct GroupCommit<B> {
    inner: Arc<B>,
    queue: Queue<B>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

/// How much may wait in front of the store, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupCommitLimits {
    /// Most transactions in the queue.
    pub queue_transactions: usize,
    /// Most bytes of keys and values in the queue. A larger call has the queue to itself.
    pub queue_bytes: usize,
    /// Most callers that wait for room in the queue. More are `Overloaded`.
    pub waiting: usize,
    /// How long a batch waits for the next one of the callers of the batch before it, who are about
    /// to come back; for all of them at most a quarter of the time that their commit took, or this
    /// time if that is more. A call that follows one alone, with nobody behind it, never waits.
    /// Zero turns it off.
    pub regroup: Duration,
}

impl Default for GroupCommitLimits {
    fn default() -> Self {
        Self {
            queue_transactions: GROUP_COMMIT_QUEUE_TRANSACTIONS_MAX,
            queue_bytes: GROUP_COMMIT_QUEUE_BYTES_MAX,
            waiting: GROUP_COMMIT_WAITING_MAX,
            regroup: GROUP_COMMIT_REGROUP,
        }
    }
}

impl<B: StorageBackend> GroupCommit<B> {
    /// Puts the layer on a backend.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn new(inner: B) -> Self {
        Self::with_limits(inner, GroupCommitLimits::default())
    }

    /// Puts the layer on a backend, with other limits.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn with_limits(inner: B, limits: GroupCommitLimits) -> Self {
        let (queue, calls) = Queue::new(limits);
        Self {
            inner: Arc::new(inner),
            queue,
            worker: Mutex::new(Some(tokio::spawn(worker::run(calls, limits.regroup)))),
        }
    }

    /// Returns the backend below.
    pub fn inner(&self) -> &B {
        &self.inner
    }

    /// Takes no more calls of `commit`, commits those that are queued and waits until it is done.
    ///
    /// Calls that still wait for room, and all later ones, are `Unavailable`.
    pub async fn shutdown(&self) {
        self.queue.close();
        let mut worker = self.worker.lock().await;
        if let Some(task) = worker.as_mut() {
            // A failed task has dropped its calls, and with them the callers know.
            if let Err(error) = task.await {
                tracing::error!(%error, "group commit ended early");
            }
        }
        *worker = None;
    }
}

impl<B: StorageBackend> fmt::Debug for GroupCommit<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupCommit")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: StorageBackend> StorageBackend for GroupCommit<B> {
    fn info(&self) -> &BackendInfo {
        self.inner.info()
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>> {
        Transaction::validate_all(&transactions)?;
        let answer = self.queue.push(&self.inner, transactions).await?;
        answer.await.unwrap_or_else(|_| Err(worker::gone()))
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
