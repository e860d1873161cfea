use async_trait::async_trait;
use dualwriter::Kind;
use storage_core::{
    BackendInfo, Changes, ChangesQuery, Compacted, Error, ErrorKind, ListQuery, Op, Outcome, Page,
    Precondition, ResourceKey, ResourceStats, Result, Retention, Revision, Scope, StorageBackend,
    StorageBackendExt, Stored, Transaction,
};
use tokio::sync::watch;

use super::object::MigrationObject;
use super::{Migrations, object};

/// The objects of migrations as a store: reads show what is, a write is an order.
#[derive(Debug)]
pub(crate) struct MigrationStore(Migrations);

impl MigrationStore {
    pub(super) const fn new(migrations: Migrations) -> Self {
        Self(migrations)
    }

    async fn order(&self, transaction: Transaction) -> Result<Outcome> {
        let migrations = &self.0;
        let [write] = transaction.writes.as_slice() else {
            return migrations.0.shown.commit_one(transaction).await;
        };
        let Op::Put(value) = &write.op else {
            return refuse(
                "a storage migration is there as long as its kind: it cannot be deleted",
            );
        };
        let kind: Kind = write.key.name().parse()?;
        let known = migrations.0.kinds.contains_key(&kind) && object::key(&kind)? == write.key;
        if !known || write.precondition == Precondition::Absent {
            return refuse("there is a storage migration for each kind: none can be created");
        }
        let _turn = migrations.desk(&kind)?.turn.lock().await;
        let Some(current) = migrations.0.shown.get(&write.key, None).await? else {
            return migrations.0.shown.commit_one(transaction).await;
        };
        if let Precondition::Revision(expected) = write.precondition
            && expected != current.revision
        {
            // Nothing is begun for a writer who has not seen the newest state.
            return migrations.0.shown.commit_one(transaction).await;
        }
        let old = MigrationObject::read(&current.value)?;
        let new = MigrationObject::read(value)?;
        let fulfilled = migrations.fulfil(&kind, &old.spec, &new.spec).await;
        let outcome = match fulfilled {
            Ok(()) => migrations.0.shown.commit_one(transaction).await,
            Err(error) => Err(error),
        };
        migrations.show(&kind).await?;
        outcome
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StorageBackend for MigrationStore {
    fn info(&self) -> &BackendInfo {
        self.0.0.shown.info()
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(transactions.len());
        for transaction in transactions {
            outcomes.push(self.order(transaction).await?);
        }
        Ok(outcomes)
    }

    async fn get(&self, key: &ResourceKey, at: Option<Revision>) -> Result<Option<Stored>> {
        if at.is_none()
            && let Ok(kind) = key.name().parse()
        {
            self.0.refresh_one(&kind).await?;
        }
        self.0.0.shown.get(key, at).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page> {
        if query.at.is_none() && query.cursor.is_none() {
            self.0.refresh().await?;
        }
        self.0.0.shown.list(query).await
    }

    async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        self.0.0.shown.changes(query).await
    }

    async fn compact(&self, policy: &Retention) -> Result<Compacted> {
        self.0.0.shown.compact(policy).await
    }

    async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        self.0.0.shown.stats(scope).await
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.0.0.shown.head()
    }
}

fn refuse(why: &str) -> Result<Outcome> {
    Err(Error::new(ErrorKind::Unsupported, "order", why))
}
