//! The intent of a write to both stores, as it is kept on its object. It is written and removed with
//! every such write, so it is small: a header in bincode 2 with varints, then the value.

use bincode::config::{Configuration, standard};
use bincode::{BorrowDecode, Decode, Encode};
use bytes::Bytes;
use storage_core::{
    Op, OperationId, Precondition, ResourceKey, Result, Revision, Stored, Timestamp, Write,
};

use crate::record::corrupt;

const CODEC: Configuration = standard();

/// What a journaled write, or a copy from one store to the other, is about to do to one object.
/// While it is there nobody else writes that object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Intent {
    pub(crate) header: IntentHeader,
    pub(crate) value: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IntentHeader {
    pub(crate) work: Work,
    /// The revision of the first attempt's intent, which names the write; absent in that attempt.
    pub(crate) first: Option<Revision>,
    pub(crate) owner: u128,
    pub(crate) epoch: u64,
    pub(crate) started_ms: u64,
    pub(crate) object: ResourceKey,
    /// The transaction's first object, and the one after this: the intents of one transaction are
    /// a chain.
    pub(crate) head: ResourceKey,
    pub(crate) next: Option<ResourceKey>,
    pub(crate) precondition: Precondition,
    pub(crate) op: IntentOp,
    pub(crate) at_least: Option<Revision>,
    pub(crate) operation: OperationId,
    pub(crate) time: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Work {
    /// A caller's write; legacy decides its preconditions.
    WriteLegacyDecides,
    /// A caller's write whose preconditions held in unified.
    WriteUnifiedDecided,
    /// Makes one store equal to the other.
    Copy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum IntentOp {
    Put,
    Delete,
    Check,
}

impl From<&Op> for IntentOp {
    fn from(op: &Op) -> Self {
        match op {
            Op::Put(_) => Self::Put,
            Op::Delete(_) => Self::Delete,
            Op::Check => Self::Check,
        }
    }
}

impl Intent {
    /// Returns the write that this intent stands for, as its caller gave it.
    pub(crate) fn write(&self) -> Write {
        Write {
            key: self.header.object.clone(),
            precondition: self.header.precondition,
            op: match self.header.op {
                IntentOp::Put => Op::Put(self.value.clone()),
                IntentOp::Delete => Op::Delete(self.value.clone()),
                IntentOp::Check => Op::Check,
            },
        }
    }

    /// Writes the header, preceded by its length, and the value as it is: a value of the largest
    /// size stays within the limit of internal records.
    pub(crate) fn encode(&self) -> Bytes {
        let header = &self.header;
        let head = (header.head != header.object).then(|| name(&header.head));
        let stored = StoredHeader {
            work: header.work,
            first: header.first.map(Revision::get),
            owner: header.owner,
            epoch: header.epoch,
            started_ms: header.started_ms,
            object: name(&header.object),
            head,
            next: header.next.as_ref().map(name),
            precondition: header.precondition.into(),
            op: header.op,
            at_least: header.at_least.map(Revision::get),
            operation: header.operation.0,
            time_ms: header.time.as_millis(),
        };
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.value.len());
        bytes.extend([0; LENGTH_BYTES]);
        let length = bincode::encode_into_std_write(stored, &mut bytes, CODEC);
        // Plain numbers and names, into memory.
        let length = length.expect("a header has a stored form");
        let length = u32::try_from(length).expect("a header is short");
        bytes[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        bytes.extend(&self.value);
        bytes.into()
    }

    pub(crate) fn decode(stored: &Stored) -> Result<Self> {
        let bytes = &stored.value;
        let (length, rest) = bytes
            .split_first_chunk::<LENGTH_BYTES>()
            .ok_or_else(|| corrupt(&stored.key, "is too short"))?;
        let length = u32::from_be_bytes(*length) as usize;
        let header = rest
            .get(..length)
            .ok_or_else(|| corrupt(&stored.key, "is cut off"))?;
        let (header, read): (StoredHeader<'_>, _) =
            bincode::borrow_decode_from_slice(header, CODEC)
                .map_err(|e| corrupt(&stored.key, "is not readable").with_source(e))?;
        if read != length {
            return Err(corrupt(&stored.key, "has too long a header"));
        }
        Ok(Self {
            header: header
                .into_header()
                .map_err(|e| corrupt(&stored.key, "names no object").with_source(e))?,
            value: bytes.slice(LENGTH_BYTES + length..),
        })
    }
}

/// The bytes of the header's length.
const LENGTH_BYTES: usize = 4;
/// About what a header with its length takes.
const HEADER_BYTES: usize = 256;

type Name<'a> = (&'a str, &'a str, &'a str, &'a str);

fn name(key: &ResourceKey) -> Name<'_> {
    (key.group(), key.resource(), key.namespace(), key.name())
}

fn key((group, resource, namespace, name): Name<'_>) -> Result<ResourceKey> {
    ResourceKey::new(group, resource, namespace, name)
}

#[derive(Encode, BorrowDecode)]
struct StoredHeader<'a> {
    work: Work,
    first: Option<u64>,
    owner: u128,
    epoch: u64,
    started_ms: u64,
    object: Name<'a>,
    /// Absent where it is the object.
    head: Option<Name<'a>>,
    next: Option<Name<'a>>,
    precondition: StoredPrecondition,
    op: IntentOp,
    at_least: Option<u64>,
    operation: u128,
    time_ms: u64,
}

impl StoredHeader<'_> {
    fn into_header(self) -> Result<IntentHeader> {
        let object = key(self.object)?;
        Ok(IntentHeader {
            work: self.work,
            first: self.first.map(Revision::new),
            owner: self.owner,
            epoch: self.epoch,
            started_ms: self.started_ms,
            head: self.head.map_or_else(|| Ok(object.clone()), key)?,
            next: self.next.map(key).transpose()?,
            object,
            precondition: self.precondition.into(),
            op: self.op,
            at_least: self.at_least.map(Revision::new),
            operation: OperationId(self.operation),
            time: Timestamp::from_millis(self.time_ms),
        })
    }
}

#[derive(Clone, Copy, Encode, Decode)]
enum StoredPrecondition {
    Any,
    Absent,
    Present,
    Revision(u64),
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

#[cfg(test)]
mod tests {
    use storage_core::{ChangeKind, ErrorKind};

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

    fn intent() -> Intent {
        let object = ResourceKey::new("g", "r", "ns ü", "a").unwrap();
        Intent {
            header: IntentHeader {
                work: Work::WriteLegacyDecides,
                first: Some(Revision::new(7)),
                owner: u128::MAX,
                epoch: 3,
                started_ms: 1,
                head: object.clone(),
                object,
                next: None,
                precondition: Precondition::Revision(Revision::new(9)),
                op: IntentOp::Put,
                at_least: None,
                operation: OperationId(u128::MAX - 1),
                time: Timestamp::from_millis(2),
            },
            value: Bytes::from_static(b"\0{}"),
        }
    }

    #[test]
    fn intents_round_trip_and_cut_ones_are_corrupt() {
        let alone = intent();
        let other = ResourceKey::new("", "r", "", "b").unwrap();
        let mut in_a_chain = intent();
        in_a_chain.header.head = other.clone();
        in_a_chain.header.next = Some(other);
        in_a_chain.header.precondition = Precondition::Absent;
        for intent in [alone, in_a_chain] {
            let bytes = intent.encode();
            assert_eq!(Intent::decode(&stored(bytes.clone())).unwrap(), intent);
            for length in 0..bytes.len() - intent.value.len() {
                let error = Intent::decode(&stored(bytes.slice(..length))).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt);
            }
        }
    }

    #[test]
    fn a_header_that_is_longer_than_what_it_says_is_corrupt() {
        let mut bytes = intent().encode().to_vec();
        bytes[LENGTH_BYTES - 1] += 1;
        let error = Intent::decode(&stored(bytes.into())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let header = intent().encode().len() - intent().value.len();
        assert!(header < HEADER_BYTES / 2, "{header} bytes");
    }
}
