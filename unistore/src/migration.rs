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
pub(crate) use self::work::{
    DIFFERENCES_LISTED_MAX, Differing, FirstDifferences, Synced, Task, Verified, Work, WorkState,
};

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
                if let Err(error) = self.refresh().await {
                    tracing::warn!(%error, "the state of migrations is not known");
                }
                if let Err(error) = self.0.shown.compact(&Retention::default()).await {
                    tracing::debug!(%error, "old states of migrations could not be dropped");
                }
            }
        };
        self.0.shutdown.run_until_cancelled(work).await;
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Makes all objects anew, and returns the first error when all were tried.
    async fn refresh(&self) -> storage_core::Result<()> {
        let mut refreshed = Ok(());
        for kind in self.0.kinds.keys() {
            refreshed = refreshed.and(self.refresh_one(kind).await);
        }
        refreshed
    }

    /// Makes the object of a kind anew, unless somebody is at it: an order that is being carried
    /// out does that at its end. Only who wants an object that was never made waits for it.
    async fn refresh_one(&self, kind: &Kind) -> storage_core::Result<()> {
        let Some(desk) = self.0.kinds.get(kind) else {
            return Ok(());
        };
        let _turn = match desk.turn.try_lock() {
            Ok(turn) => turn,
            Err(_) if self.is_shown(kind).await? => return Ok(()),
            Err(_) => desk.turn.lock().await,
        };
        self.show(kind).await
    }

    async fn is_shown(&self, kind: &Kind) -> storage_core::Result<bool> {
        let shown = self.0.shown.get(&object::key(kind)?, None).await?;
        Ok(shown.is_some())
    }

    /// Makes the object of a kind anew. What cannot be asked now is shown as it was; what never
    /// was is no object that is not there, but an error.
    async fn show(&self, kind: &Kind) -> storage_core::Result<()> {
        match self.try_show(kind).await {
            Err(error) if self.is_shown(kind).await? => {
                tracing::debug!(%kind, %error, "a migration is shown as it was");
                Ok(())
            }
            made => made,
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

#[cfg(test)]
mod tests {
    use conformance::{Fault, Faulty, Gate, Operation};
    use dualwriter::{DualWriterConfig, Mode, Options};

    use super::store::MigrationStore;
    use super::*;

    fn kind() -> Kind {
        "playlists.playlist.grafana.app".parse().unwrap()
    }

    async fn migrations(legacy: Faulty<Memory>) -> Migrations {
        let options = Options::new(DualWriterConfig::everything(Mode::Two));
        let dual = DualWriter::open(Arc::new(legacy), Arc::new(Memory::new()), options);
        let dual = Arc::new(dual.await.unwrap());
        let kinds = vec![kind()];
        let migrations = Migrations::new(dual, kinds, CancellationToken::new());
        migrations.await.unwrap()
    }

    /// A client that asked while a starting server was making an object was told that there is none.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_object_that_is_being_made_is_waited_for() {
        let (faulty, gate) = (Faulty::new(Memory::new()), Gate::default());
        let faults = faulty.faults();
        let migrations = migrations(faulty).await;
        faults.next(Operation::Get, Fault::HoldBefore(gate.clone()));
        let making = tokio::spawn({
            let migrations = migrations.clone();
            async move { migrations.refresh().await }
        });
        gate.reached().await;
        let store = MigrationStore::new(migrations);
        let key = object::key(&kind()).unwrap();
        let mut reading = store.get(&key, None);
        let early = futures::poll!(&mut reading);
        assert!(early.is_pending(), "{early:?}");
        gate.release();
        making.await.unwrap().unwrap();
        assert!(reading.await.unwrap().is_some());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_store_that_is_down_makes_no_object_absent() {
        let faulty = Faulty::new(Memory::new());
        let faults = faulty.faults();
        let migrations = migrations(faulty).await;
        let store = MigrationStore::new(migrations);
        let key = object::key(&kind()).unwrap();
        faults.next(Operation::Get, Fault::FailBefore);
        store.get(&key, None).await.unwrap_err();
        assert!(store.get(&key, None).await.unwrap().is_some());
        faults.next(Operation::Get, Fault::FailBefore);
        assert!(store.get(&key, None).await.unwrap().is_some());
    }
}
