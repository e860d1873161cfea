//! A store as one process sees it: slow, failing before or after the effect, or gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use storage_core::{
    BackendInfo, Changes, ChangesQuery, Compacted, Error, ErrorKind, ListQuery, Memory, Outcome,
    Page, ResourceKey, ResourceStats, Result, Retention, Revision, Scope, StorageBackend, Stored,
    Transaction,
};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::chance::{About, Chance, Fault};

/// Whether a process is alive. The calls of a dead one are never answered.
#[derive(Debug, Default)]
pub(crate) struct Life {
    over: AtomicBool,
    ended: Notify,
}

impl Life {
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) {
        loop {
            let ended = self.ended.notified();
            if self.is_over() {
                return;
            }
            ended.await;
        }
    }

    fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.ended.notify_waiters();
    }
}

/// One process's connection to a store.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) store: Arc<Memory>,
    pub(crate) chance: Arc<Chance>,
    pub(crate) life: Arc<Life>,
}

impl Connection {
    /// Does what comes before the effect; the fault that is left for after it.
    async fn before(&self, about: About) -> Result<Option<Fault>> {
        self.alive().await;
        let delay = self.chance.roll(4) as u64;
        if delay > 0 {
            sleep(Duration::from_millis(delay)).await;
            self.alive().await;
        }
        let fault = self.chance.fault(about);
        match fault {
            Some(Fault::FailBefore) => {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "simulate",
                    "fails before",
                ));
            }
            Some(Fault::CrashBefore) => {
                self.life.end();
                self.alive().await;
            }
            Some(Fault::PauseBefore) => {
                sleep(self.chance.pause).await;
                self.alive().await;
            }
            Some(Fault::FailAfter | Fault::FailUnknown | Fault::CrashAfter | Fault::PauseAfter)
            | None => {}
        }
        Ok(fault)
    }

    async fn after(&self, fault: Option<Fault>) {
        match fault {
            Some(Fault::CrashAfter) => self.life.end(),
            Some(Fault::PauseAfter) => sleep(self.chance.pause).await,
            Some(_) | None => {
                if self.chance.roll(3) == 0 {
                    sleep(Duration::from_millis(1)).await;
                }
            }
        }
        self.alive().await;
    }

    async fn alive(&self) {
        if self.life.is_over() {
            std::future::pending::<()>().await;
        }
    }

    async fn read<T>(&self, about: About, work: impl Future<Output = Result<T>>) -> Result<T> {
        let fault = self.before(about).await?;
        let answer = work.await;
        self.after(fault).await;
        match fault {
            Some(Fault::FailAfter | Fault::FailUnknown) => Err(Error::new(
                ErrorKind::Unavailable,
                "simulate",
                "a read fails",
            )),
            Some(_) | None => answer,
        }
    }
}

fn about(internal: bool) -> About {
    if internal {
        About::ControlRecords
    } else {
        About::Objects
    }
}

#[async_trait]
impl StorageBackend for Connection {
    fn info(&self) -> &BackendInfo {
        self.store.info()
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>> {
        let unknown = || {
            Err(Error::new(
                ErrorKind::Indeterminate,
                "simulate",
                "who knows",
            ))
        };
        let mut keys = transactions.iter().flat_map(|t| &t.writes).map(|w| &w.key);
        let fault = self
            .before(about(keys.all(ResourceKey::is_internal)))
            .await?;
        if fault == Some(Fault::FailUnknown) {
            return unknown();
        }
        let answer = self.store.commit(transactions).await;
        self.after(fault).await;
        match fault {
            Some(Fault::FailAfter) => unknown(),
            Some(_) | None => answer,
        }
    }

    async fn get(&self, key: &ResourceKey, at: Option<Revision>) -> Result<Option<Stored>> {
        let about = about(key.is_internal());
        self.read(about, self.store.get(key, at)).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page> {
        let about = about(query.scope.is_internal());
        self.read(about, self.store.list(query)).await
    }

    async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        self.read(About::Objects, self.store.changes(query)).await
    }

    async fn compact(&self, policy: &Retention) -> Result<Compacted> {
        self.read(About::Objects, self.store.compact(policy)).await
    }

    async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        self.read(About::ControlRecords, self.store.stats(scope))
            .await
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.store.head()
    }
}
