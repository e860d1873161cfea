//! Does the stored history explain what the clients were told?
//!
//! The store keeps every revision with the id of the operation that made it, so a history of
//! millions of operations is checked in linear time, unknown outcomes included: what is in the
//! history happened. The cheap companion of [`crate::linearizability`], which looks at the clients'
//! data alone, so that a lying history cannot vouch for itself.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use bytes::Bytes;
use storage_core::{ChangeKind, OperationId, Precondition, ResourceKey, Revision, Stored};

/// A write and what its client was told.
#[derive(Clone, Debug)]
pub struct WriteRecord {
    /// The object.
    pub key: ResourceKey,
    /// The id that the client gave; different for each write.
    pub operation: OperationId,
    /// What had to be true.
    pub precondition: Precondition,
    /// The value, or none for a delete.
    pub value: Option<Bytes>,
    /// When it was called, on a clock that all clients share.
    pub call: u64,
    /// When it was answered.
    pub answered: u64,
    /// What the client was told.
    pub told: Told,
}

/// What a writer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Committed at this revision.
    Committed(Revision),
    /// A conflict, or an error that says that nothing was written.
    Refused,
    /// Nothing that tells.
    Unknown,
}

/// A read and its answer.
#[derive(Clone, Debug)]
pub struct ReadRecord {
    /// The object.
    pub key: ResourceKey,
    /// When it was called.
    pub call: u64,
    /// When it was answered.
    pub answered: u64,
    /// The revision that was seen, or none for an absent object.
    pub saw: Option<Revision>,
}

/// Something that the stored history cannot explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// An acknowledged write is not in the history at its revision with its value.
    Lost(OperationId),
    /// A write that was refused is in the history.
    RefusedButThere(OperationId),
    /// A write is in the history more than once.
    Twice(OperationId),
    /// A revision in the history that no client wrote.
    FromNowhere(Revision),
    /// A write's precondition was not true of the revision before it.
    PreconditionBroken(OperationId),
    /// The first write was answered before the second was called, but has a higher revision.
    OutOfOrder(OperationId, OperationId),
    /// A read saw a revision that was already replaced when it was called, or one that was not
    /// yet written when it was answered, or none at all.
    ImpossibleRead(ResourceKey, Option<Revision>),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Checks clients' records against the whole history of the objects, ascending per object.
/// The store must have been empty before and nothing trimmed since.
#[must_use]
pub fn check(history: &[Stored], writes: &[WriteRecord], reads: &[ReadRecord]) -> Vec<Violation> {
    let mut of_key: BTreeMap<&ResourceKey, Vec<&Stored>> = BTreeMap::new();
    for stored in history {
        of_key.entry(&stored.key).or_default().push(stored);
    }
    let by_operation: HashMap<_, _> = writes
        .iter()
        .map(|write| (write.operation, write))
        .collect();
    let mut violations = Vec::new();
    each_revision_is_one_write(history, &by_operation, &mut violations);
    each_answer_is_true(history, writes, &mut violations);
    preconditions_held(&of_key, &by_operation, &mut violations);
    real_time_order(writes, &mut violations);
    for read in reads {
        let records = of_key.get(&read.key).map_or(&[][..], Vec::as_slice);
        if !is_possible(read, records, &by_operation) {
            violations.push(Violation::ImpossibleRead(read.key.clone(), read.saw));
        }
    }
    violations
}

type ByOperation<'a> = HashMap<OperationId, &'a WriteRecord>;

fn each_revision_is_one_write(
    history: &[Stored],
    writes: &ByOperation<'_>,
    violations: &mut Vec<Violation>,
) {
    let mut seen = HashMap::new();
    for stored in history {
        if !writes.contains_key(&stored.operation) {
            violations.push(Violation::FromNowhere(stored.revision));
        }
        if seen.insert(stored.operation, stored.revision).is_some() {
            violations.push(Violation::Twice(stored.operation));
        }
    }
}

fn each_answer_is_true(
    history: &[Stored],
    writes: &[WriteRecord],
    violations: &mut Vec<Violation>,
) {
    let stored: HashMap<_, _> = history
        .iter()
        .map(|stored| (stored.operation, stored))
        .collect();
    for write in writes {
        let found = stored.get(&write.operation);
        match (write.told, found) {
            (Told::Committed(revision), Some(found)) if is_as_told(found, write, revision) => {}
            (Told::Committed(_), _) => violations.push(Violation::Lost(write.operation)),
            (Told::Refused, Some(_)) => {
                violations.push(Violation::RefusedButThere(write.operation));
            }
            (Told::Refused, None) | (Told::Unknown, _) => {}
        }
    }
}

fn is_as_told(found: &Stored, write: &WriteRecord, revision: Revision) -> bool {
    let value_is_right = match &write.value {
        Some(value) => found.kind != ChangeKind::Deleted && found.value == *value,
        None => found.kind == ChangeKind::Deleted,
    };
    found.key == write.key && found.revision == revision && value_is_right
}

fn preconditions_held(
    of_key: &BTreeMap<&ResourceKey, Vec<&Stored>>,
    writes: &ByOperation<'_>,
    violations: &mut Vec<Violation>,
) {
    for records in of_key.values() {
        let mut before = None;
        for stored in records {
            let write = writes.get(&stored.operation);
            if write.is_some_and(|write| !write.precondition.holds(before)) {
                violations.push(Violation::PreconditionBroken(stored.operation));
            }
            before = (stored.kind != ChangeKind::Deleted).then_some(stored.revision);
        }
    }
}

/// Of all writes answered before a call, none has a higher revision.
fn real_time_order(writes: &[WriteRecord], violations: &mut Vec<Violation>) {
    let committed = |write: &WriteRecord| match write.told {
        Told::Committed(revision) => Some((revision, write.operation)),
        Told::Refused | Told::Unknown => None,
    };
    let mut by_call: Vec<&WriteRecord> = writes.iter().filter(|w| committed(w).is_some()).collect();
    let mut by_answer = by_call.clone();
    by_call.sort_by_key(|write| write.call);
    by_answer.sort_by_key(|write| write.answered);
    let mut answered = by_answer.into_iter().peekable();
    let mut highest = None;
    for write in by_call {
        while let Some(earlier) = answered.next_if(|earlier| earlier.answered < write.call) {
            highest = highest.max(committed(earlier));
        }
        if let (Some(before), Some(this)) = (highest, committed(write))
            && before.0 >= this.0
        {
            violations.push(Violation::OutOfOrder(before.1, this.1));
        }
    }
}

/// A read is possible if some revision is what it saw, was called before the read was answered, and
/// has no successor that was acknowledged before the read was called.
fn is_possible(read: &ReadRecord, records: &[&Stored], writes: &ByOperation<'_>) -> bool {
    let called_before_answer = |stored: &Stored| {
        writes
            .get(&stored.operation)
            .is_none_or(|write| write.call <= read.answered)
    };
    let acknowledged_before_call = |stored: &Stored| {
        writes.get(&stored.operation).is_some_and(|write| {
            matches!(write.told, Told::Committed(_)) && write.answered < read.call
        })
    };
    let last_known = records
        .iter()
        .rposition(|stored| acknowledged_before_call(stored));
    let state = |stored: &Stored| (stored.kind != ChangeKind::Deleted).then_some(stored.revision);
    if last_known.is_none() && read.saw.is_none() {
        return true;
    }
    records[last_known.unwrap_or(0)..]
        .iter()
        .any(|stored| state(stored) == read.saw && called_before_answer(stored))
}

#[cfg(test)]
mod tests {
    use storage_core::Timestamp;

    use super::*;

    fn key() -> ResourceKey {
        ResourceKey::new("g", "r", "n", "a").unwrap()
    }

    fn stored(id: u128, revision: u64, kind: ChangeKind) -> Stored {
        Stored {
            key: key(),
            kind,
            revision: Revision::new(revision),
            created: Revision::new(1),
            value: Bytes::from(id.to_string()),
            time: Timestamp::default(),
            operation: OperationId(id),
        }
    }

    fn write(id: u128, precondition: Precondition, times: (u64, u64), told: Told) -> WriteRecord {
        WriteRecord {
            key: key(),
            operation: OperationId(id),
            precondition,
            value: Some(Bytes::from(id.to_string())),
            call: times.0,
            answered: times.1,
            told,
        }
    }

    fn read(times: (u64, u64), saw: Option<u64>) -> ReadRecord {
        ReadRecord {
            key: key(),
            call: times.0,
            answered: times.1,
            saw: saw.map(Revision::new),
        }
    }

    const fn at(revision: u64) -> Precondition {
        Precondition::Revision(Revision::new(revision))
    }

    const fn committed(revision: u64) -> Told {
        Told::Committed(Revision::new(revision))
    }

    /// Operation 1 creates at revision 1, operation 2 updates at revision 2.
    fn base() -> (Vec<Stored>, Vec<WriteRecord>) {
        let history = vec![
            stored(1, 1, ChangeKind::Created),
            stored(2, 2, ChangeKind::Updated),
        ];
        let writes = vec![
            write(1, Precondition::Absent, (0, 10), committed(1)),
            write(2, at(1), (20, 30), committed(2)),
        ];
        (history, writes)
    }

    #[test]
    fn a_true_history_is_explained() {
        let (history, mut writes) = base();
        writes.push(write(3, at(1), (20, 30), Told::Refused));
        writes.push(write(4, at(2), (40, 50), Told::Unknown));
        let reads = [
            read((0, 5), None),
            read((0, 5), Some(1)),
            read((11, 12), Some(1)),
            read((25, 26), Some(2)),
            read((31, 32), Some(2)),
        ];
        assert_eq!(check(&history, &writes, &reads), []);
    }

    #[test]
    fn an_unknown_write_may_be_there() {
        let (mut history, mut writes) = base();
        history.push(stored(3, 3, ChangeKind::Updated));
        writes.push(write(3, at(2), (40, 50), Told::Unknown));
        let reads = [read((60, 70), Some(3)), read((60, 70), Some(2))];
        assert_eq!(check(&history, &writes, &reads), []);
    }

    #[test]
    fn lies_are_found() {
        let (history, writes) = base();
        let only_first = &history[..1];
        assert_eq!(
            check(only_first, &writes, &[]),
            [Violation::Lost(OperationId(2))]
        );

        let mut moved = history.clone();
        moved[1].revision = Revision::new(3);
        assert_eq!(
            check(&moved, &writes, &[]),
            [Violation::Lost(OperationId(2))]
        );

        let mut torn = history.clone();
        torn[1].value = Bytes::from("1");
        assert_eq!(
            check(&torn, &writes, &[]),
            [Violation::Lost(OperationId(2))]
        );

        let mut refused = writes.clone();
        refused[1].told = Told::Refused;
        let expected = [Violation::RefusedButThere(OperationId(2))];
        assert_eq!(check(&history, &refused, &[]), expected);

        let expected = [Violation::FromNowhere(Revision::new(2))];
        assert_eq!(check(&history, &writes[..1], &[]), expected);

        let mut twice = history.clone();
        twice.push(stored(2, 3, ChangeKind::Updated));
        let found = check(&twice, &writes, &[]);
        assert!(
            found.contains(&Violation::Twice(OperationId(2))),
            "{found:?}"
        );

        let mut guarded = writes.clone();
        guarded[1].precondition = at(7);
        let expected = [Violation::PreconditionBroken(OperationId(2))];
        assert_eq!(check(&history, &guarded, &[]), expected);

        let mut early = writes;
        (early[0].call, early[0].answered) = (40, 50);
        let expected = [Violation::OutOfOrder(OperationId(2), OperationId(1))];
        assert_eq!(check(&history, &early, &[]), expected);
    }

    #[test]
    fn impossible_reads_are_found() {
        let (history, writes) = base();
        for wrong in [
            read((11, 12), None),    // lost
            read((31, 32), Some(1)), // stale
            read((11, 12), Some(2)), // from the future
            read((31, 32), Some(9)), // from nowhere
        ] {
            let expected = [Violation::ImpossibleRead(key(), wrong.saw)];
            assert_eq!(check(&history, &writes, &[wrong]), expected);
        }
    }

    #[test]
    fn a_deleted_object_is_not_read_again() {
        let (mut history, mut writes) = base();
        history.push(stored(3, 3, ChangeKind::Deleted));
        writes.push(WriteRecord {
            value: None,
            ..write(3, at(2), (40, 50), committed(3))
        });
        assert_eq!(check(&history, &writes, &[read((60, 70), None)]), []);
        let wrong = read((60, 70), Some(2));
        let expected = [Violation::ImpossibleRead(key(), wrong.saw)];
        assert_eq!(check(&history, &writes, &[wrong]), expected);
    }
}
