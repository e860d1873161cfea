//! The control records: what they hold and where they are kept, always in the internal group.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use storage_core::{
    Error, ErrorKind, INTERNAL_GROUP, Op, OperationId, Precondition, ResourceKey, Result, Revision,
    Scope, Stored, Timestamp, Write,
};

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
        key(&self.intents, &Kind::of(object).id(), &object_id(object))
    }

    pub(crate) fn is_intent(&self, key: &ResourceKey) -> bool {
        key.is_internal() && key.resource() == &*self.intents
    }

    pub(crate) fn fence(&self, object: &ResourceKey) -> ResourceKey {
        key(&self.fences, &Kind::of(object).id(), &object_id(object))
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
    /// The record of a kind that nobody changed yet.
    pub(crate) fn initial(kind: &Kind, mode: Mode) -> Self {
        Self {
            group: kind.group().to_owned(),
            resource: kind.resource().to_owned(),
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

/// What a journaled write, or a copy from one store to the other, is about to do to one object.
/// While it is there nobody else writes that object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Intent {
    pub(crate) header: IntentHeader,
    pub(crate) value: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IntentHeader {
    pub(crate) work: Work,
    /// The revision of the first attempt's intent, which names the write; absent in that attempt.
    pub(crate) first: Option<u64>,
    pub(crate) owner: u128,
    pub(crate) epoch: u64,
    pub(crate) started_ms: u64,
    pub(crate) object: ObjectName,
    /// The transaction's first object, and the one after this: the intents of one transaction are
    /// a chain.
    pub(crate) head: ObjectName,
    pub(crate) next: Option<ObjectName>,
    pub(crate) precondition: StoredPrecondition,
    pub(crate) op: StoredOp,
    pub(crate) at_least: Option<u64>,
    pub(crate) operation: u128,
    pub(crate) time_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Work {
    /// A caller's write; legacy decides its preconditions.
    WriteLegacyDecides,
    /// A caller's write whose preconditions held in unified.
    WriteUnifiedDecided,
    /// Makes one store equal to the other.
    Copy,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ObjectName(String, String, String, String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StoredPrecondition {
    Any,
    Absent,
    Present,
    Revision(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StoredOp {
    Put,
    Delete,
    Check,
}

impl From<&ResourceKey> for ObjectName {
    fn from(key: &ResourceKey) -> Self {
        Self(
            key.group().into(),
            key.resource().into(),
            key.namespace().into(),
            key.name().into(),
        )
    }
}

impl ObjectName {
    pub(crate) fn key(&self) -> Result<ResourceKey> {
        ResourceKey::new(
            self.0.as_str(),
            self.1.as_str(),
            self.2.as_str(),
            self.3.as_str(),
        )
    }
}

impl From<Precondition> for StoredPrecondition {
    fn from(precondition: Precondition) -> Self {
        match precondition {
            Precondition::Any => Self::Any,
            Precondition::Absent => Self::Absent,
            Precondition::Present => Self::Present,
            Precondition::Revision(revision) => Self::Revision(revision.get()),
        }
    }
}

impl From<StoredPrecondition> for Precondition {
    fn from(precondition: StoredPrecondition) -> Self {
        match precondition {
            StoredPrecondition::Any => Self::Any,
            StoredPrecondition::Absent => Self::Absent,
            StoredPrecondition::Present => Self::Present,
            StoredPrecondition::Revision(number) => Self::Revision(Revision::new(number)),
        }
    }
}

impl Intent {
    /// Returns the write that this intent stands for, as its caller gave it.
    pub(crate) fn write(&self) -> Result<Write> {
        Ok(Write {
            key: self.header.object.key()?,
            precondition: self.header.precondition.into(),
            op: match self.header.op {
                StoredOp::Put => Op::Put(self.value.clone()),
                StoredOp::Delete => Op::Delete(self.value.clone()),
                StoredOp::Check => Op::Check,
            },
        })
    }

    pub(crate) fn operation(&self) -> OperationId {
        OperationId(self.header.operation)
    }

    pub(crate) fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.header.time_ms)
    }

    /// Writes the length of the header, the header as JSON, and the value as it is: a value of the
    /// largest size stays within the limit of internal records.
    pub(crate) fn encode(&self) -> Bytes {
        let header = to_json(&self.header);
        let length = u32::try_from(header.len()).expect("a header is short");
        let mut bytes = Vec::with_capacity(4 + header.len() + self.value.len());
        bytes.extend(length.to_be_bytes());
        bytes.extend(&header);
        bytes.extend(&self.value);
        bytes.into()
    }

    pub(crate) fn decode(stored: &Stored) -> Result<Self> {
        let bytes = &stored.value;
        let (length, rest) = bytes
            .split_first_chunk::<4>()
            .ok_or_else(|| corrupt(&stored.key, "is too short"))?;
        let length = u32::from_be_bytes(*length) as usize;
        if length > rest.len() {
            return Err(corrupt(&stored.key, "is cut off"));
        }
        Ok(Self {
            header: parse(&stored.key, &rest[..length])?,
            value: bytes.slice(4 + length..),
        })
    }
}

pub(crate) fn to_json(record: &impl Serialize) -> Bytes {
    // Plain structs with string keys.
    serde_json::to_vec(record)
        .expect("control records have a JSON form")
        .into()
}

pub(crate) fn from_json<T: DeserializeOwned>(stored: &Stored) -> Result<T> {
    parse(&stored.key, &stored.value)
}

fn parse<T: DeserializeOwned>(key: &ResourceKey, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| corrupt(key, "is not readable").with_source(e))
}

pub(crate) fn corrupt(key: &ResourceKey, what: &str) -> Error {
    let context = format!("control record {key} {what}");
    Error::new(ErrorKind::Corrupt, "read control record", context)
}

#[cfg(test)]
mod tests {
    use storage_core::ChangeKind;

    use super::*;

    fn stored(value: Bytes) -> Stored {
        Stored {
            key: ResourceKey::internal("dual.intent", "k", "o").unwrap(),
            kind: ChangeKind::Created,
            revision: Revision::new(1),
            created: Revision::new(1),
            value,
            time: Timestamp::default(),
            operation: OperationId::default(),
        }
    }

    #[test]
    fn intents_round_trip_and_cut_ones_are_corrupt() {
        let object = ResourceKey::new("g", "r", "ns ü", "a").unwrap();
        let intent = Intent {
            header: IntentHeader {
                work: Work::WriteLegacyDecides,
                first: Some(7),
                owner: u128::MAX,
                epoch: 3,
                started_ms: 1,
                object: (&object).into(),
                head: (&object).into(),
                next: None,
                precondition: Precondition::Revision(Revision::new(9)).into(),
                op: StoredOp::Put,
                at_least: None,
                operation: u128::MAX - 1,
                time_ms: 2,
            },
            value: Bytes::from_static(b"\0{}"),
        };
        let bytes = intent.encode();
        assert_eq!(Intent::decode(&stored(bytes.clone())).unwrap(), intent);
        for length in 0..bytes.len() - 3 {
            let error = Intent::decode(&stored(bytes.slice(..length))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
        assert_eq!(intent.write().unwrap().key, object);
    }
}
