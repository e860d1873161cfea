//! Kinds on their way from one store to the other, as objects that clients get, watch and patch.
//!
//! The objects are made from what the dual writer says and are kept in memory: the stores hold the
//! truth. A patch of one is an order.

mod condition;
mod object;
mod orders;
mod status;
mod store;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use dualwriter::{DualWriter, Kind};
use jiff::Timestamp;
use resource::{Kinds, Objects, ObjectsOptions, TokenKey};
use storage_core::{
    Clock, Error, Memory, Precondition, Retention, Revision, StorageBackend, StorageBackendExt,
    SystemClock, Transaction,
};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::object::{GROUP, MigrationObject, path};
pub(crate) use self::status::{Migration, MigrationStatus, Refused};
pub(crate) use self::work::{Differing, Synced, Task, Verified, Work, WorkState};

/// How often objects are made anew for those who watch them; reads are answered with what is.
const REFRESH_INTERVAL: Duration = Duration::from_secs(2);

/// How often the progress of work is shown.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// The manifest of the kind.
const MANIFEST: &str = include_str!("../kinds/storagemigration.json");

/// All kinds on their way. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Migrations(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dual_writer: Arc<DualWriter>,
    shown: Memory,
    kinds: BTreeMap<Kind, Desk>,
    /// When the objects were made.
    created: String,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// Where orders about one kind are taken, one after the other.
#[derive(Debug, Default)]
struct Desk {
    turn: tokio::sync::Mutex<()>,
    work: watch::Sender<Option<Work>>,
}

impl Migrations {
    /// Shows how kinds stand. Work that was ordered ends when `shutdown` is cancelled.
    pub(crate) async fn new(
        dual_writer: Arc<DualWriter>,
        kinds: Vec<Kind>,
        shutdown: CancellationToken,
    ) -> storage_core::Result<Self> {
        let shown = Memory::new();
        // Versions rise from one start of the process to the next.
        let now = SystemClock.now();
        shown
            .commit_one(Transaction::raise(Revision::new(now.as_millis())))
            .await?;
        let kinds = kinds.into_iter().map(|kind| (kind, Desk::default()));
        Ok(Self(Arc::new(Inner {
            dual_writer,
            shown,
            kinds: kinds.collect(),
            created: wire_time(),
            tasks: TaskTracker::new(),
            shutdown,
        })))
    }

    /// Returns the objects of the group, whose kind is added to `kinds`.
    pub(crate) fn objects(&self, kinds: &Arc<Kinds>, token_key: TokenKey) -> Result<Objects> {
        kinds.apply(&serde_json::from_str(MANIFEST)?)?;
        let store = Arc::new(store::MigrationStore::new(self.clone()));
        let options = ObjectsOptions::new(token_key);
        Ok(Objects::new(store, Arc::clone(kinds), options))
    }

    /// Keeps the objects fresh until the shutdown, then waits for the work that was ordered.
    pub(crate) async fn run(self) {
        let mut ticks = tokio::time::interval(REFRESH_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let work = async {
            loop {
                ticks.tick().await;
                self.refresh().await;
                if let Err(error) = self.0.shown.compact(&Retention::default()).await {
                    tracing::debug!(%error, "old states of migrations could not be dropped");
                }
            }
        };
        self.0.shutdown.run_until_cancelled(work).await;
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Makes all objects anew.
    async fn refresh(&self) {
        for kind in self.0.kinds.keys() {
            self.refresh_one(kind).await;
        }
    }

    /// Makes the object of a kind anew, unless an order is being carried out, which does that.
    async fn refresh_one(&self, kind: &Kind) {
        let Some(desk) = self.0.kinds.get(kind) else {
            return;
        };
        if let Ok(_turn) = desk.turn.try_lock() {
            self.show(kind).await;
        }
    }

    /// Makes the object of a kind anew. What cannot be asked now is shown as it was.
    async fn show(&self, kind: &Kind) {
        if let Err(error) = self.try_show(kind).await {
            tracing::debug!(%kind, %error, "a migration is shown as it was");
        }
    }

    async fn try_show(&self, kind: &Kind) -> storage_core::Result<()> {
        let mut status: MigrationStatus = self.0.dual_writer.status(kind).await?.into();
        status.work = self.work(kind);
        let key = object::key(kind)?;
        let shown = self.0.shown.get(&key, None).await?;
        let before = shown
            .as_ref()
            .map(|stored| MigrationObject::read(&stored.value))
            .transpose()?;
        let now = match &before {
            Some(before) => before.with(status),
            None => MigrationObject::new(kind, &self.0.created, status),
        };
        if before.as_ref() == Some(&now) {
            return Ok(());
        }
        let unchanged = shown.map_or(Precondition::Absent, |stored| {
            Precondition::Revision(stored.revision)
        });
        let put = Transaction::put(key, unchanged, now.encode()?);
        self.0.shown.commit_one(put).await?;
        Ok(())
    }

    fn work(&self, kind: &Kind) -> Option<Work> {
        let desk = self.0.kinds.get(kind)?;
        desk.work.borrow().clone()
    }

    fn set_work(&self, kind: &Kind, work: Work) {
        if let Some(desk) = self.0.kinds.get(kind) {
            desk.work.send_replace(Some(work));
        }
    }

    fn desk(&self, kind: &Kind) -> storage_core::Result<&Desk> {
        self.0.kinds.get(kind).ok_or_else(|| {
            let context = format!("{kind} is not served here");
            Error::new(storage_core::ErrorKind::NotFound, "order", context)
        })
    }
}

/// Returns the time as objects write it.
fn wire_time() -> String {
    let now = i64::try_from(SystemClock.now().as_millis()).unwrap_or_default();
    let now = Timestamp::from_millisecond(now).unwrap_or_default();
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
