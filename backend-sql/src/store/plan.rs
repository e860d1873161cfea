use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use storage_core::{
    ChangeKind, Conflict, Op, OperationId, Outcome, ResourceKey, Revision, Timestamp, Transaction,
    Write,
};

use super::key;
use super::record::action;
use super::view::{Current, Known, View};

/// What a call of `commit` comes to: the outcomes, and the rows that have to be written for them.
///
/// Made from a [`View`] without touching the database, and true as long as the store's newest
/// revision is that of the view.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The newest revision that it was made for.
    pub(crate) base: Revision,
    /// The newest revision after it.
    pub(crate) head: Revision,
    /// One per transaction.
    pub(crate) outcomes: Vec<Outcome>,
    /// The records to add to the history, in order.
    pub(crate) history: Vec<Record>,
    /// The newest record of each control key.
    pub(crate) control: Vec<Record>,
    /// By how much the counts change, by the prefix of the keys.
    pub(crate) counts: BTreeMap<Vec<u8>, i64>,
}

/// A record to be written.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) key: Vec<u8>,
    pub(crate) kind: ChangeKind,
    pub(crate) revision: Revision,
    pub(crate) created: Revision,
    pub(crate) time: Timestamp,
    pub(crate) operation: [u8; 16],
    pub(crate) value: Bytes,
    /// The place among the writes of its transaction.
    pub(crate) write_index: i64,
    /// The revision before it, zero for none.
    pub(crate) previous: Revision,
    pub(crate) fate: Fate,
}

/// What a record means for the current view when the call is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A later write of the same call stands.
    Superseded,
    /// It is the object.
    Live,
    /// It is the object, which was in the trash before the call.
    Restored,
    /// The object is gone.
    Gone,
}

impl Record {
    /// Returns the number of what it did.
    pub(crate) const fn action(&self) -> i64 {
        action(self.kind)
    }
}

impl Plan {
    /// Plans transactions in order, each seeing the writes of the ones before.
    pub(crate) fn new(view: &View, transactions: &[Transaction], now: Timestamp) -> Self {
        let mut planner = Planner {
            view,
            written: HashMap::with_capacity(transactions.len()),
            plan: Self {
                base: view.head,
                head: view.head,
                ..Self::default()
            },
        };
        for transaction in transactions {
            let outcome = planner.transaction(transaction, now);
            planner.plan.outcomes.push(outcome);
        }
        planner.finish()
    }

    /// Tells whether nothing has to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.head == self.base
    }
}

struct Planner<'a> {
    view: &'a View,
    written: HashMap<&'a str, Option<Current>>,
    plan: Plan,
}

impl<'a> Planner<'a> {
    fn transaction(&mut self, transaction: &'a Transaction, now: Timestamp) -> Outcome {
        let writes: Vec<Target<'a>> = transaction.writes.iter().map(|w| self.target(w)).collect();
        if let Some(conflict) = writes.iter().find_map(Target::conflict) {
            return Outcome::Conflict(conflict);
        }
        let raise = transaction.at_least.unwrap_or(Revision::ZERO);
        if writes.iter().any(Target::changes_something) {
            self.plan.head = self.plan.head.next().max(raise);
            let template = Template {
                revision: self.plan.head,
                time: transaction.time.unwrap_or(now),
                operation: transaction.operation,
            };
            for (write_index, target) in (0..).zip(writes) {
                self.write(target, write_index, &template);
            }
        } else {
            self.plan.head = self.plan.head.max(raise);
        }
        Outcome::Committed {
            revision: self.plan.head,
        }
    }

    fn target(&self, write: &'a Write) -> Target<'a> {
        let before = match self.written.get(write.key.as_text()) {
            Some(written) => *written,
            None => self.view.known(key::stored(&write.key)).current,
        };
        Target { write, before }
    }

    fn write(&mut self, target: Target<'a>, write_index: i64, template: &Template) {
        let Target { write, before } = target;
        let (kind, value) = match (&write.op, before) {
            (Op::Put(value), None) => (ChangeKind::Created, value),
            (Op::Put(value), Some(_)) => (ChangeKind::Updated, value),
            (Op::Delete(record), Some(_)) => (ChangeKind::Deleted, record),
            (Op::Delete(_), None) | (Op::Check, _) => return,
        };
        let created = before.map_or(template.revision, |before| before.created);
        let exists = kind != ChangeKind::Deleted;
        let current = exists.then_some(Current {
            revision: template.revision,
            created,
        });
        self.written.insert(write.key.as_text(), current);
        if !write.key.is_internal() {
            self.count(&write.key, kind);
        }
        let record = Record {
            key: key::encode(&write.key),
            kind,
            revision: template.revision,
            created,
            time: template.time,
            operation: template.operation.0.to_be_bytes(),
            value: value.clone(),
            write_index,
            previous: before.map_or(Revision::ZERO, |before| before.revision),
            fate: Fate::Superseded,
        };
        if write.key.is_internal() {
            self.plan.control.push(record);
        } else {
            self.plan.history.push(record);
        }
    }

    fn count(&mut self, key: &ResourceKey, kind: ChangeKind) {
        let by = match kind {
            ChangeKind::Created => 1,
            ChangeKind::Updated => return,
            ChangeKind::Deleted => -1,
        };
        *self.plan.counts.entry(key::count_prefix(key)).or_default() += by;
    }

    /// Marks the last record of each key, which alone is written to the current view.
    fn finish(self) -> Plan {
        let Self { view, mut plan, .. } = self;
        mark_last(&mut plan.history, view);
        mark_last(&mut plan.control, view);
        plan.control
            .retain(|record| record.fate != Fate::Superseded);
        plan.counts.retain(|_, by| *by != 0);
        plan
    }
}

fn mark_last(records: &mut [Record], view: &View) {
    let last: HashMap<Vec<u8>, usize> = records
        .iter()
        .enumerate()
        .map(|(index, record)| (record.key.clone(), index))
        .collect();
    for (key, index) in last {
        let Known { is_in_trash, .. } = view.known(&key);
        let record = &mut records[index];
        record.fate = match record.kind {
            ChangeKind::Deleted => Fate::Gone,
            ChangeKind::Created | ChangeKind::Updated if is_in_trash => Fate::Restored,
            ChangeKind::Created | ChangeKind::Updated => Fate::Live,
        };
    }
}

/// What all records of one transaction have in common.
struct Template {
    revision: Revision,
    time: Timestamp,
    operation: OperationId,
}

/// A write and what it meets.
#[derive(Clone, Copy)]
struct Target<'a> {
    write: &'a Write,
    before: Option<Current>,
}

impl Target<'_> {
    fn conflict(&self) -> Option<Conflict> {
        let actual = self.before.map(|before| before.revision);
        let conflict = || Conflict {
            key: self.write.key.clone(),
            expected: self.write.precondition,
            actual,
        };
        (!self.write.precondition.holds(actual)).then(conflict)
    }

    fn changes_something(&self) -> bool {
        match self.write.op {
            Op::Put(_) => true,
            Op::Delete(_) => self.before.is_some(),
            Op::Check => false,
        }
    }
}
