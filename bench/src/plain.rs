//! Two stores written one after the other, as migrations do it that have nothing to recover by.

use std::sync::Arc;

use async_trait::async_trait;
use storage_core::{
    BackendInfo, Changes, ChangesQuery, Compacted, ListQuery, Op, Outcome, Page, Precondition,
    ResourceKey, ResourceStats, Result, Retention, Revision, Scope, StorageBackend, Stored,
    Transaction,
};
use tokio::sync::watch;

/// Decides and reads in legacy, and answers after unified has the write, too.
///
/// It is what the dual writer is measured against, no more: after a crash or an error between the
/// two commits the stores differ and nothing tells of it, and two writers of one object may leave
/// them apart.
#[derive(Debug)]
pub struct PlainDualWrite {
    legacy: Arc<dyn StorageBackend>,
    unified: Arc<dyn StorageBackend>,
}

impl PlainDualWrite {
    /// Writes these two.
    #[must_use]
    pub fn new(legacy: Arc<dyn StorageBackend>, unified: Arc<dyn StorageBackend>) -> Self {
        Self { legacy, unified }
    }
}

/// Returns what unified is to write of what legacy committed.
fn follow((mut transaction, outcome): (Transaction, &Outcome)) -> Option<Transaction> {
    let revision = outcome.revision()?;
    transaction.writes.retain(|write| write.op != Op::Check);
    for write in &mut transaction.writes {
        write.precondition = Precondition::Any;
    }
    transaction.at_least = Some(revision);
    Some(transaction)
}

#[async_trait]
impl StorageBackend for PlainDualWrite {
    fn info(&self) -> &BackendInfo {
        self.legacy.info()
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>> {
        let outcomes = self.legacy.commit(transactions.clone()).await?;
        let written = transactions.into_iter().zip(&outcomes).filter_map(follow);
        self.unified.commit(written.collect()).await?;
        Ok(outcomes)
    }

    async fn get(&self, key: &ResourceKey, at: Option<Revision>) -> Result<Option<Stored>> {
        self.legacy.get(key, at).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page> {
        self.legacy.list(query).await
    }

    async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        self.legacy.changes(query).await
    }

    async fn compact(&self, policy: &Retention) -> Result<Compacted> {
        self.legacy.compact(policy).await
    }

    async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        self.legacy.stats(scope).await
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.legacy.head()
    }
}
