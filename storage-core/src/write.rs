use std::fmt;

use bytes::Bytes;

use crate::limits::{
    COMMIT_BYTES_MAX, INTERNAL_COMMIT_BYTES_MAX, INTERNAL_VALUE_BYTES_MAX,
    INTERNAL_WRITES_PER_TRANSACTION_MAX, TRANSACTIONS_PER_COMMIT_MAX, VALUE_BYTES_MAX,
    WRITES_PER_TRANSACTION_MAX,
};
use crate::{Error, ResourceKey, Result, Revision, Timestamp};

/// Names the request that a write came from, so that an unknown outcome can be looked up in the
/// history and a retry recognised. Zero means that nobody will ask.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub u128);

impl fmt::Debug for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperationId({self})")
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A few writes, committed together or not at all, under one revision.
///
/// A transaction that changes nothing (checks only, or deletes of what is absent) takes no
/// revision, unless `at_least` raises the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// The writes. A key may occur once.
    pub writes: Vec<Write>,
    /// The revision of this transaction is at least this one, and so is every later one. Raises
    /// the store's counter even when `writes` is empty. For bulk import, and for a store that
    /// takes over from another whose revisions are ahead.
    pub at_least: Option<Revision>,
    /// The request that this transaction came from.
    pub operation: OperationId,
    /// The time of the records; the store's clock at commit when absent. For bulk import.
    pub time: Option<Timestamp>,
}

impl Transaction {
    /// Returns a transaction of one write that puts a value.
    #[must_use]
    pub fn put(key: ResourceKey, precondition: Precondition, value: impl Into<Bytes>) -> Self {
        Self::from(Write {
            key,
            precondition,
            op: Op::Put(value.into()),
        })
    }

    /// Returns a transaction of one write that deletes; `record` is what the trash keeps.
    #[must_use]
    pub fn delete(key: ResourceKey, precondition: Precondition, record: impl Into<Bytes>) -> Self {
        Self::from(Write {
            key,
            precondition,
            op: Op::Delete(record.into()),
        })
    }

    /// Returns a transaction that raises the store's revision.
    #[must_use]
    pub fn raise(at_least: Revision) -> Self {
        Self {
            at_least: Some(at_least),
            ..Self::default()
        }
    }

    /// Adds a write.
    #[must_use]
    pub fn and(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }

    /// Sets the request that this transaction came from.
    #[must_use]
    pub fn operation(mut self, operation: OperationId) -> Self {
        self.operation = operation;
        self
    }

    /// Returns the bytes of all values.
    #[must_use]
    pub fn value_bytes(&self) -> usize {
        self.writes
            .iter()
            .map(|write| write.op.value().map_or(0, Bytes::len))
            .sum()
    }

    /// Checks limits and that no key occurs twice. Every backend refuses what this refuses.
    ///
    /// # Errors
    /// `Invalid` or `TooLarge`.
    pub fn validate(&self) -> Result<()> {
        let internal = self.writes.iter().filter(|w| w.key.is_internal()).count();
        for (what, writes, writes_max) in [
            (
                "writes",
                self.writes.len() - internal,
                WRITES_PER_TRANSACTION_MAX,
            ),
            (
                "internal writes",
                internal,
                INTERNAL_WRITES_PER_TRANSACTION_MAX,
            ),
        ] {
            if writes > writes_max {
                let context =
                    format!("a transaction of {writes} {what}, at most {writes_max} are allowed");
                return Err(Error::too_large("commit", context));
            }
        }
        if self
            .at_least
            .is_some_and(|revision| revision >= Revision::MAX)
        {
            return Err(Error::invalid("commit", "at_least is out of range"));
        }
        for (index, write) in self.writes.iter().enumerate() {
            write.validate()?;
            if self.writes[..index]
                .iter()
                .any(|earlier| earlier.key == write.key)
            {
                let context = format!("{} occurs twice in one transaction", write.key);
                return Err(Error::invalid("commit", context));
            }
        }
        Ok(())
    }

    /// Checks a whole call of `commit`. Backends and layers call it first, so that a call that
    /// breaks a limit is refused whole and before anything is touched.
    ///
    /// # Errors
    /// `Invalid` or `TooLarge`.
    pub fn validate_all(transactions: &[Self]) -> Result<()> {
        if transactions.len() > TRANSACTIONS_PER_COMMIT_MAX {
            return Err(Error::too_large(
                "commit",
                format!(
                    "{} transactions, at most {TRANSACTIONS_PER_COMMIT_MAX} are allowed",
                    transactions.len()
                ),
            ));
        }
        let (mut bytes, mut internal_bytes) = (0, 0);
        for write in transactions.iter().flat_map(|t| &t.writes) {
            let sum = if write.key.is_internal() {
                &mut internal_bytes
            } else {
                &mut bytes
            };
            *sum += write.op.value().map_or(0, Bytes::len);
        }
        for (what, bytes, bytes_max) in [
            ("value bytes", bytes, COMMIT_BYTES_MAX),
            (
                "value bytes of internal records",
                internal_bytes,
                INTERNAL_COMMIT_BYTES_MAX,
            ),
        ] {
            if bytes > bytes_max {
                let context = format!("{bytes} {what}, at most {bytes_max} are allowed");
                return Err(Error::too_large("commit", context));
            }
        }
        transactions.iter().try_for_each(Self::validate)
    }
}

impl From<Write> for Transaction {
    fn from(write: Write) -> Self {
        Self {
            writes: vec![write],
            ..Self::default()
        }
    }
}

/// One write: a key, what must be true of it, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The object.
    pub key: ResourceKey,
    /// What must be true of it at commit.
    pub precondition: Precondition,
    /// What to do.
    pub op: Op,
}

impl Write {
    /// Returns a write that only checks.
    #[must_use]
    pub const fn check(key: ResourceKey, precondition: Precondition) -> Self {
        Self {
            key,
            precondition,
            op: Op::Check,
        }
    }

    fn validate(&self) -> Result<()> {
        let bytes_max = if self.key.is_internal() {
            INTERNAL_VALUE_BYTES_MAX
        } else {
            VALUE_BYTES_MAX
        };
        match self.op.value() {
            Some(value) if value.len() > bytes_max => Err(Error::too_large(
                "commit",
                format!(
                    "the value of {} has {} bytes, at most {bytes_max} are allowed",
                    self.key,
                    value.len()
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// What a write does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Sets the value. Creates the object or updates it.
    Put(Bytes),
    /// Deletes the object and keeps this deletion record in history and trash. Deleting what is
    /// absent changes nothing; a precondition makes it a conflict.
    Delete(Bytes),
    /// Changes nothing: the precondition alone takes part in the transaction.
    Check,
}

impl Op {
    /// Returns the bytes that this operation stores.
    #[must_use]
    pub const fn value(&self) -> Option<&Bytes> {
        match self {
            Self::Put(value) | Self::Delete(value) => Some(value),
            Self::Check => None,
        }
    }
}

/// What must be true of a key at commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    Any,
    /// No object has this key.
    Absent,
    /// An object has this key, at whatever revision.
    Present,
    /// The object's newest revision is this one.
    Revision(Revision),
}

impl Precondition {
    /// Tells whether the precondition holds for an object at revision `actual`.
    #[must_use]
    pub fn holds(self, actual: Option<Revision>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => actual.is_none(),
            Self::Present => actual.is_some(),
            Self::Revision(expected) => actual == Some(expected),
        }
    }
}

/// What became of one transaction. A conflict is an outcome, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All writes were made, durably.
    Committed {
        /// The transaction's revision; the store's newest one when it changed nothing.
        revision: Revision,
    },
    /// Nothing was written: a precondition did not hold.
    Conflict(Conflict),
}

impl Outcome {
    /// Returns the revision of a committed transaction.
    #[must_use]
    pub const fn revision(&self) -> Option<Revision> {
        match self {
            Self::Committed { revision } => Some(*revision),
            Self::Conflict(_) => None,
        }
    }
}

/// The first precondition of a transaction, in the order of its writes, that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The object.
    pub key: ResourceKey,
    /// What was required of it.
    pub expected: Precondition,
    /// Its newest revision, or none when it is absent.
    pub actual: Option<Revision>,
}

/// What the write that made a revision did to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// It did not exist before.
    Created,
    /// It existed before.
    Updated,
    /// It does not exist after.
    Deleted,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(objects: usize, records: usize) -> Transaction {
        let mut transaction = Transaction::default();
        let object = |n| ResourceKey::new("g", "r", "", format!("{n}"));
        let record = |n| ResourceKey::internal("r", "", format!("{n}"));
        let keys = (0..objects).map(object).chain((0..records).map(record));
        for key in keys {
            let check = Write::check(key.unwrap(), Precondition::Any);
            transaction = transaction.and(check);
        }
        transaction
    }

    #[test]
    fn objects_and_internal_records_are_counted_apart() {
        const OBJECTS: usize = WRITES_PER_TRANSACTION_MAX;
        const RECORDS: usize = INTERNAL_WRITES_PER_TRANSACTION_MAX;
        checks(OBJECTS, RECORDS).validate().unwrap();
        let error = checks(OBJECTS + 1, 0).validate().unwrap_err();
        let text = "commit: a transaction of 129 writes, at most 128 are allowed";
        assert_eq!(error.to_string(), text);
        assert!(checks(0, RECORDS + 1).validate().is_err());
    }
}
