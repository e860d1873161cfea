use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use storage_core::{
    Error, ErrorKind, Outcome, ResourceKey, Result, Revision, StorageBackend, StorageBackendExt,
    Timestamp, Transaction,
};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::fence::BaseCache;
use crate::queue::Queue;
use crate::record::{Keys, ModeRecord};
use crate::slots::Slots;
use crate::view::{Look, View};
use crate::{Kind, Options, Side};

/// What all parts of one dual writer share. Nothing in it is needed for safety but the two stores:
/// the rest may be lost at any moment, as it is in a crash.
#[derive(Debug)]
pub(crate) struct Inner {
    /// Itself, for work that goes on without its caller.
    pub(crate) me: Weak<Self>,
    pub(crate) legacy: Arc<dyn StorageBackend>,
    pub(crate) unified: Arc<dyn StorageBackend>,
    pub(crate) options: Options,
    pub(crate) keys: Keys,
    /// The mode of kinds without a record, as it was stored at the first open.
    pub(crate) default: ModeRecord,
    pub(crate) views: RwLock<HashMap<Kind, Arc<View>>>,
    /// The last look at each kind's mode: who comes while it is under way need not look as well.
    pub(crate) looks: Mutex<HashMap<Kind, Look>>,
    /// What callers wait for and must not hold up by going away, or by not being polled any more.
    pub(crate) tasks: Arc<Mutex<JoinSet<()>>>,
    pub(crate) acknowledged: tokio::sync::Mutex<BTreeMap<String, u64>>,
    pub(crate) slots: Slots,
    pub(crate) bases: BaseCache,
    pub(crate) queue: Queue,
    pub(crate) head: watch::Sender<Revision>,
    /// Sync marks that could not be cleared yet, and why they have to be.
    pub(crate) uncleared: Mutex<BTreeMap<Kind, String>>,
    /// Kinds that this process has the right to sync, also after a sync that was broken off.
    pub(crate) rights: Mutex<BTreeSet<Kind>>,
    /// Kinds that this process is syncing now.
    pub(crate) syncing: Mutex<BTreeSet<Kind>>,
}

impl Inner {
    pub(crate) fn store(&self, side: Side) -> &dyn StorageBackend {
        match side {
            Side::Legacy => &*self.legacy,
            Side::Unified => &*self.unified,
        }
    }

    /// Starts something that goes on whether or not its caller does.
    pub(crate) fn start<T, F>(&self, work: impl FnOnce(Arc<Self>) -> F) -> oneshot::Receiver<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        // Who calls this holds a reference; without one there is nobody to answer.
        if let Some(me) = self.me.upgrade() {
            let work = work(me);
            let mut tasks = self.tasks.lock();
            while tasks.try_join_next().is_some() {}
            tasks.spawn(async move {
                let _ = answer.send(work.await);
            });
        }
        answered
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.options.clock.now()
    }

    /// Makes a revision that a caller is about to see visible to those who wait for changes.
    pub(crate) fn publish(&self, revision: Revision) {
        self.head.send_if_modified(|head| {
            let newer = revision > *head;
            *head = (*head).max(revision);
            newer
        });
    }

    /// Returns the newest revision of a store, whichever process made it.
    pub(crate) async fn newest(&self, side: Side) -> Result<Revision> {
        let nothing = Transaction::raise(Revision::ZERO);
        match self.store(side).commit_one(nothing).await? {
            Outcome::Committed { revision } => Ok(revision),
            Outcome::Conflict(_) => unreachable!("a transaction without writes has no conflict"),
        }
    }

    pub(crate) fn owns(&self, owner: u128) -> bool {
        owner == self.options.instance.0
    }

    pub(crate) fn is_live_here(&self, owner: u128, object: &ResourceKey) -> bool {
        self.owns(owner) && self.slots.is_taken(object)
    }
}

/// The answer to who waits for something that was given up because the dual writer was closed.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "wait", "the dual writer was closed")
}
