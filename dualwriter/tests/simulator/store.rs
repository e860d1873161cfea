//! A store as one process sees it: slow, failing before or after the effect, or gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use conformance::traffic::Dice;
use parking_lot::Mutex;
use storage_core::{
    BackendInfo, Changes, ChangesQuery, Compacted, Error, ErrorKind, ListQuery, Memory, Outcome,
    Page, ResourceKey, ResourceStats, Result, Retention, Revision, Scope, StorageBackend, Stored,
    Transaction,
};
use tokio::sync::watch;
use tokio::time::sleep;

/// What all stores of a run share: chance, and how many faults are left.
#[derive(Debug)]
pub(crate) struct Chance {
    pub(crate) dice: Mutex<Dice>,
    pub(crate) faults: AtomicUsize,
    pub(crate) pause: Duration,
}

impl Chance {
    pub(crate) fn roll(&self, sides: usize) -> usize {
        self.dice.lock().roll(sides)
    }

    fn fault(&self) -> Option<usize> {
        if self.faults.load(Ordering::Relaxed) == 0 || self.roll(60) > 0 {
            return None;
        }
        self.faults.fetch_sub(1, Ordering::Relaxed);
        Some(self.roll(10))
    }
}

/// One process's connection to a store.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) store: Arc<Memory>,
    pub(crate) chance: Arc<Chance>,
    /// The process is dead: its calls are never answered.
    pub(crate) dead: Arc<AtomicBool>,
}

enum Plan {
    Work,
    FailAfter,
    FailUnknown,
    CrashAfter,
    PauseAfter,
}

impl Connection {
    async fn before(&self) -> Result<Plan> {
        self.alive().await;
        let delay = self.chance.roll(4) as u64;
        if delay > 0 {
            sleep(Duration::from_millis(delay)).await;
        }
        self.alive().await;
        match self.chance.fault() {
            None => Ok(Plan::Work),
            Some(0) => Err(Error::new(
                ErrorKind::Unavailable,
                "simulate",
                "fails before",
            )),
            Some(1) => Ok(Plan::FailAfter),
            Some(2) => Ok(Plan::FailUnknown),
            Some(3) => {
                self.dead.store(true, Ordering::Relaxed);
                self.alive().await;
                Ok(Plan::Work)
            }
            Some(4) => Ok(Plan::CrashAfter),
            // Pauses open the widest windows.
            Some(5..=7) => {
                sleep(self.chance.pause).await;
                self.alive().await;
                Ok(Plan::Work)
            }
            Some(_) => Ok(Plan::PauseAfter),
        }
    }

    async fn after(&self, plan: &Plan) {
        match plan {
            Plan::CrashAfter => self.dead.store(true, Ordering::Relaxed),
            Plan::PauseAfter => sleep(self.chance.pause).await,
            Plan::Work | Plan::FailAfter | Plan::FailUnknown => {
                if self.chance.roll(3) == 0 {
                    sleep(Duration::from_millis(1)).await;
                }
            }
        }
        self.alive().await;
    }

    async fn alive(&self) {
        if self.dead.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    async fn read<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let plan = self.before().await?;
        let answer = work.await;
        self.after(&plan).await;
        match plan {
            Plan::FailAfter | Plan::FailUnknown => Err(Error::new(
                ErrorKind::Unavailable,
                "simulate",
                "a read fails",
            )),
            Plan::Work | Plan::CrashAfter | Plan::PauseAfter => answer,
        }
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
        let plan = self.before().await?;
        if matches!(plan, Plan::FailUnknown) {
            return unknown();
        }
        let answer = self.store.commit(transactions).await;
        self.after(&plan).await;
        match plan {
            Plan::FailAfter => unknown(),
            Plan::Work | Plan::FailUnknown | Plan::CrashAfter | Plan::PauseAfter => answer,
        }
    }

    async fn get(&self, key: &ResourceKey, at: Option<Revision>) -> Result<Option<Stored>> {
        self.read(self.store.get(key, at)).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page> {
        self.read(self.store.list(query)).await
    }

    async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        self.read(self.store.changes(query)).await
    }

    async fn compact(&self, policy: &Retention) -> Result<Compacted> {
        self.read(self.store.compact(policy)).await
    }

    async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        self.read(self.store.stats(scope)).await
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.store.head()
    }
}
