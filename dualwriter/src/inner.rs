use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use storage_core::{
    Outcome, ResourceKey, Result, Revision, StorageBackend, StorageBackendExt, Timestamp,
    Transaction,
};
use tokio::sync::watch;

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
    pub(crate) legacy: Arc<dyn StorageBackend>,
    pub(crate) unified: Arc<dyn StorageBackend>,
    pub(crate) options: Options,
    pub(crate) keys: Keys,
    /// The mode of kinds without a record, as it was stored at the first open.
    pub(crate) default: ModeRecord,
    pub(crate) views: RwLock<HashMap<Kind, Arc<View>>>,
    /// Held by who looks up a kind's mode, so that those who come meanwhile need not.
    pub(crate) looks: Mutex<HashMap<Kind, Arc<tokio::sync::Mutex<Option<Look>>>>>,
    pub(crate) acknowledged: tokio::sync::Mutex<BTreeMap<String, u64>>,
    pub(crate) slots: Slots,
    pub(crate) bases: BaseCache,
    pub(crate) queue: Queue,
    pub(crate) head: watch::Sender<Revision>,
    /// Sync marks that could not be cleared yet, and why they have to be.
    pub(crate) uncleared: Mutex<BTreeMap<Kind, String>>,
    /// Kinds that this process has the right to sync, also after a sync that was broken off.
    pub(crate) rights: Mutex<BTreeSet<Kind>>,
}

impl Inner {
    pub(crate) fn store(&self, side: Side) -> &dyn StorageBackend {
        match side {
            Side::Legacy => &*self.legacy,
            Side::Unified => &*self.unified,
        }
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
