//! The control records: what they hold and where they are kept, always in the internal group.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use storage_core::{Error, ErrorKind, INTERNAL_GROUP, ResourceKey, Result, Scope, Stored};

use crate::kind::object_id;
use crate::{Kind, Mode, Side};

/// The id under which the mode of kinds without a record of their own is kept.
const DEFAULT_ID: &str = "~default";

/// Makes the keys of control records.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: String,
    modes: Arc<str>,
    intents: Arc<str>,
    fences: Arc<str>,
    syncs: Arc<str>,
    leases: Arc<str>,
    instances: Arc<str>,
}

impl Keys {
    pub(crate) fn new(space: &str) -> Self {
        let of = |what: &str| Arc::from(format!("{space}.{what}"));
        Self {
            prefix: format!("{space}."),
            modes: of("mode"),
            intents: of("intent"),
            fences: of("fence"),
            syncs: of("sync"),
            leases: of("lease"),
            instances: of("instance"),
        }
    }

    /// Tells whether a key is one of ours, which callers may not touch.
    pub(crate) fn is_ours(&self, key: &ResourceKey) -> bool {
        key.is_internal() && key.resource().starts_with(&self.prefix)
    }

    pub(crate) fn default_mode(&self) -> ResourceKey {
        key(&self.modes, "", DEFAULT_ID)
    }

    pub(crate) fn mode(&self, kind: &Kind) -> ResourceKey {
        key(&self.modes, "", &kind.id())
    }

    pub(crate) fn is_mode(&self, key: &ResourceKey) -> bool {
        key.is_internal() && key.resource() == &*self.modes
    }

    pub(crate) fn intent(&self, object: &ResourceKey) -> ResourceKey {
        key(&self.intents, &Kind::id_of(object), &object_id(object))
    }

    pub(crate) fn is_intent(&self, key: &ResourceKey) -> bool {
        key.is_internal() && key.resource() == &*self.intents
    }

    pub(crate) fn fence(&self, object: &ResourceKey) -> ResourceKey {
        key(&self.fences, &Kind::id_of(object), &object_id(object))
    }

    pub(crate) fn sync(&self, kind: &Kind) -> ResourceKey {
        key(&self.syncs, "", &kind.id())
    }

    pub(crate) fn lease(&self, kind: &Kind) -> ResourceKey {
        key(&self.leases, "", &kind.id())
    }

    pub(crate) fn instance(&self, id: &str) -> ResourceKey {
        key(&self.instances, "", id)
    }

    pub(crate) fn all_modes(&self) -> Scope {
        Scope::resource(INTERNAL_GROUP, Arc::clone(&self.modes))
    }

    pub(crate) fn all_instances(&self) -> Scope {
        Scope::resource(INTERNAL_GROUP, Arc::clone(&self.instances))
    }

    pub(crate) fn all_intents(&self) -> Scope {
        Scope::resource(INTERNAL_GROUP, Arc::clone(&self.intents))
    }

    pub(crate) fn intents_of(&self, kind: &Kind) -> Scope {
        Scope::namespace(INTERNAL_GROUP, Arc::clone(&self.intents), kind.id())
    }

    pub(crate) fn fences_of(&self, kind: &Kind) -> Scope {
        Scope::namespace(INTERNAL_GROUP, Arc::clone(&self.fences), kind.id())
    }
}

fn key(resource: &Arc<str>, namespace: &str, name: &str) -> ResourceKey {
    // Parts of checked keys, escaped and held to the longest name, are well formed.
    ResourceKey::internal(Arc::clone(resource), namespace, name)
        .expect("control records have well formed keys")
}

/// The mode of a kind and its change in progress. Kept in both stores; the copy in the mode's home
/// decides, the other follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ModeRecord {
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) mode: u8,
    /// Rises with every step of every change.
    pub(crate) epoch: u64,
    /// The change in progress: no writes are taken until it is through.
    pub(crate) change: Option<ModeChange>,
    /// Revisions below this are of the other store, or of an earlier stay on this one.
    pub(crate) floor: u64,
    /// The store that holds every acknowledged write, to which a sync makes the other equal.
    pub(crate) authority: StoredSide,
    pub(crate) coverage: Coverage,
}

/// A change of mode that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ModeChange {
    pub(crate) to: u8,
    /// A gate was opened by hand.
    pub(crate) forced: Forced,
    pub(crate) by: String,
    pub(crate) at_ms: u64,
    #[serde(default)]
    pub(crate) reads: ReadsMeanwhile,
}

/// What becomes of reads while a mode changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ReadsMeanwhile {
    /// They go on.
    #[default]
    Answered,
    /// They wait: the revision below which everything is of the store that was left is chosen, and
    /// nobody may be told a higher one from there.
    Held,
}

/// What a request for a mode says about gates that are shut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Forced {
    /// Nothing: a shut gate refuses.
    #[default]
    No,
    /// Go up without a completed sync (`skip_data_sync`).
    SkipSync,
    /// Go down and lose what was written since legacy was left.
    AcceptLoss,
}

/// Whether both stores are known to hold the same objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Coverage {
    Complete,
    Partial,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StoredSide {
    Legacy,
    Unified,
}

impl From<Side> for StoredSide {
    fn from(side: Side) -> Self {
        match side {
            Side::Legacy => Self::Legacy,
            Side::Unified => Self::Unified,
        }
    }
}

impl From<StoredSide> for Side {
    fn from(side: StoredSide) -> Self {
        match side {
            StoredSide::Legacy => Self::Legacy,
            StoredSide::Unified => Self::Unified,
        }
    }
}

impl ModeRecord {
    /// The record of all kinds that nobody changed yet, where both stores are empty.
    pub(crate) fn first(mode: Mode) -> Self {
        // A kind cannot have an empty resource, so this one is nobody's.
        Self {
            group: String::new(),
            resource: String::new(),
            mode: mode.number(),
            epoch: 0,
            change: None,
            floor: 0,
            authority: match mode {
                Mode::Four | Mode::Five => StoredSide::Unified,
                Mode::Zero | Mode::One | Mode::Two | Mode::Three => StoredSide::Legacy,
            },
            // Where nothing was ever moved, unified is the truth from the start.
            coverage: match mode {
                Mode::Four | Mode::Five => Coverage::Complete,
                Mode::Zero | Mode::One | Mode::Two | Mode::Three => Coverage::Partial,
            },
        }
    }

    /// The record of a kind that nobody changed yet.
    pub(crate) fn of_kind(&self, kind: &Kind) -> Self {
        Self {
            group: kind.group().to_owned(),
            resource: kind.resource().to_owned(),
            ..self.clone()
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        Kind::new(self.group.as_str(), self.resource.as_str())
    }

    pub(crate) fn mode(&self) -> Result<Mode> {
        Mode::from_number(self.mode)
    }
}

/// How far the sync of a kind is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SyncRecord {
    /// The epoch in which a full pass found nothing left to do; cleared by any later failure.
    pub(crate) complete_epoch: Option<u64>,
    /// Unified's revision up to which a reverse sync is complete.
    pub(crate) through: u64,
    pub(crate) complete_at_ms: u64,
    /// Why the mark was cleared last.
    pub(crate) cleared: Option<String>,
    pub(crate) pass: Option<PassRecord>,
}

/// A pass in progress, to be resumed after its last object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PassRecord {
    pub(crate) epoch: u64,
    pub(crate) number: u32,
    pub(crate) after: Option<(String, String)>,
    pub(crate) compared: u64,
    pub(crate) repaired: u64,
    pub(crate) failed: u64,
    /// Unified's head when the pass began.
    pub(crate) started_at: u64,
    /// The mark was cleared meanwhile, by a difference that the pass may have passed by.
    #[serde(default)]
    pub(crate) disturbed: bool,
}

impl PassRecord {
    /// Tells whether a sync of this epoch goes on with it.
    pub(crate) fn goes_on(&self, epoch: u64) -> bool {
        self.epoch == epoch && self.after.is_some()
    }
}

/// Who syncs a kind. Its revision is the fencing token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeaseRecord {
    pub(crate) owner: String,
    pub(crate) until_ms: u64,
}

/// A process that answers requests, and the epochs it knows of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InstanceRecord {
    pub(crate) acknowledged: std::collections::BTreeMap<String, u64>,
}

pub(crate) fn to_json(record: &impl Serialize) -> Bytes {
    // Plain structs with string keys.
    serde_json::to_vec(record)
        .expect("control records have a JSON form")
        .into()
}

pub(crate) fn from_json<T: DeserializeOwned>(stored: &Stored) -> Result<T> {
    let record = serde_json::from_slice(&stored.value);
    record.map_err(|e| corrupt(&stored.key, "is not readable").with_source(e))
}

pub(crate) fn corrupt(key: &ResourceKey, what: &str) -> Error {
    let context = format!("control record {key} {what}");
    Error::new(ErrorKind::Corrupt, "read control record", context)
}
