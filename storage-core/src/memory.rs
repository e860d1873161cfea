mod compact;
mod state;

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;

use self::state::State;
use crate::{
    BackendInfo, Changes, ChangesQuery, Clock, Compacted, Durability, ListQuery, Outcome, Page,
    ResourceKey, ResourceStats, Result, Retention, Revision, Scope, Sharing, StorageBackend,
    Stored, SystemClock, Transaction,
};

/// The executable specification: what a backend answers, as the shortest program that does so.
///
/// It holds everything in memory and is gone with the process, so it is also the backend for
/// tests and trials. Clones of an `Arc<Memory>` are one store.
#[derive(Debug)]
pub struct Memory {
    info: BackendInfo,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    head: watch::Sender<Revision>,
}

impl Memory {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// Creates an empty store that takes the time from `clock`.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            info: BackendInfo {
                engine: "memory",
                location: "memory:".into(),
                durability: Durability::Volatile,
                sharing: Sharing::OneProcess,
            },
            clock,
            state: Mutex::default(),
            head: watch::Sender::new(Revision::ZERO),
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl StorageBackend for Memory {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>> {
        Transaction::validate_all(&transactions)?;
        let now = self.clock.now();
        let mut state = self.state.lock();
        let outcomes = transactions
            .into_iter()
            .map(|t| state.commit(t, now))
            .collect();
        // Under the lock, so that two commits cannot publish their heads in the wrong order.
        self.head
            .send_if_modified(|head| std::mem::replace(head, state.head) != state.head);
        Ok(outcomes)
    }

    async fn get(&self, key: &ResourceKey, at: Option<Revision>) -> Result<Option<Stored>> {
        self.state.lock().get(key, at)
    }

    async fn list(&self, query: &ListQuery) -> Result<Page> {
        query.validate()?;
        self.state.lock().list(query)
    }

    async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        query.validate()?;
        self.state.lock().changes(query)
    }

    async fn compact(&self, policy: &Retention) -> Result<Compacted> {
        let now = self.clock.now();
        self.state.lock().compact(policy, now)
    }

    async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        self.state.lock().stats(scope)
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.head.subscribe()
    }
}
