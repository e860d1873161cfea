use std::sync::Arc;

use async_trait::async_trait;
use storage_core::{
    BackendInfo, Changes, ChangesQuery, Clock, Compacted, ErrorKind, ListQuery, Outcome, Page,
    ResourceKey, ResourceStats, Result, Retention, Revision, Scope, Sharing, StorageBackend,
    Stored, Transaction,
};
use tokio::sync::watch;

use crate::blocking;
use crate::check::CheckReport;
use crate::engine::KvEngine;
use crate::store::Store;

/// A store on an ordered key-value engine.
///
/// One process has it open. Each call of `commit` is one durable write of the engine; after the
/// first one that fails every call is refused until the store is opened again.
#[derive(Debug)]
pub struct KvBackend<E> {
    info: BackendInfo,
    store: Arc<Store<E>>,
}

impl<E: KvEngine> KvBackend<E> {
    /// Opens the store in an engine; an empty engine becomes an empty store. Blocks.
    ///
    /// # Errors
    /// `Unsupported` if the store has a format that this program does not know, `Invalid` if the
    /// engine holds something else, `Corrupt`, or `Unavailable`.
    pub fn open(engine: E, clock: Arc<dyn Clock>) -> Result<Self> {
        Ok(Self {
            info: BackendInfo {
                engine: engine.name(),
                location: engine.location(),
                durability: engine.durability(),
                sharing: Sharing::OneProcess,
            },
            store: Arc::new(Store::open(engine, clock)?),
        })
    }

    /// Verifies the whole store: that every row can be read and has its checksum, and that current
    /// view, history, trash, changes and counts agree. A store in use can be checked; on sled and
    /// in memory its writers wait meanwhile.
    ///
    /// # Errors
    /// `Unavailable` if the engine cannot be read. What is wrong with the rows is in the report.
    pub async fn check(&self) -> Result<CheckReport> {
        let store = Arc::clone(&self.store);
        blocking::call("check", ErrorKind::Internal, move || store.check()).await
    }
}

#[async_trait]
impl<E: KvEngine> StorageBackend for KvBackend<E> {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>> {
        Transaction::validate_all(&transactions)?;
        let mut writer = self.store.writer().await;
        let store = Arc::clone(&self.store);
        blocking::call("commit", ErrorKind::Indeterminate, move || {
            store.commit(transactions, &mut writer)
        })
        .await
    }

    async fn get(&self, key: &ResourceKey, at: Option<Revision>) -> Result<Option<Stored>> {
        let store = Arc::clone(&self.store);
        let key = key.clone();
        blocking::point("get", move || match at {
            None => store.get(&key),
            Some(at) => store.get_at(&key, at),
        })
        .await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page> {
        let store = Arc::clone(&self.store);
        let query = query.clone();
        blocking::call("list", ErrorKind::Internal, move || store.list(&query)).await
    }

    async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        let store = Arc::clone(&self.store);
        let query = query.clone();
        blocking::call("changes", ErrorKind::Internal, move || {
            store.changes(&query)
        })
        .await
    }

    async fn compact(&self, policy: &Retention) -> Result<Compacted> {
        let mut step = crate::compact::Step::new(policy, self.store.clock.now())?;
        loop {
            // The turn is given up between two slices, so that writers come in between.
            let mut writer = self.store.writer().await;
            let store = Arc::clone(&self.store);
            step = blocking::call("compact", ErrorKind::Indeterminate, move || {
                store.compact_slice(step, &mut writer)
            })
            .await?;
            if let Some(done) = step.finished() {
                return Ok(done);
            }
        }
    }

    async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        let store = Arc::clone(&self.store);
        let scope = scope.clone();
        blocking::call("stats", ErrorKind::Internal, move || store.stats(&scope)).await
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.store.head.subscribe()
    }
}
