use bytes::Bytes;
use storage_core::{
    ChangeKind, Conflict, Error, ErrorKind, Op, OperationId, Outcome, ResourceKey, Result,
    Revision, Timestamp, Transaction, Write,
};

use crate::engine::{Batch, KvEngine, KvView};
use crate::keyspace::{self, ObjectBytes};
use crate::record::{
    ChangeHeader, CountHeader, DeletedHeader, ObjectHeader, Record, State, kind_byte, seal, unseal,
};
use crate::store::{Store, Writer};

impl<E: KvEngine> Store<E> {
    /// Commits all transactions of a call by one durable write.
    pub(crate) fn commit(
        &self,
        transactions: Vec<Transaction>,
        writer: &mut Writer,
    ) -> Result<Vec<Outcome>> {
        self.usable("commit")?;
        let view = self.engine.view()?;
        let mut draft = Draft {
            view: &view,
            batch: Batch::default(),
            checked: None,
            state: **writer,
            now: self.clock.now(),
        };
        let outcomes = transactions
            .into_iter()
            .map(|transaction| draft.add(transaction))
            .collect::<Result<Vec<_>>>()?;
        let Draft { batch, state, .. } = draft;
        // A view may lock out the write.
        drop(view);
        self.publish("commit", writer, state, batch)?;
        Ok(outcomes)
    }
}

/// The rows that a call will write, seen over the rows that there are.
struct Draft<'v, V> {
    view: &'v V,
    batch: Batch,
    /// The control record that was checked last: often all transactions of a call check the same.
    checked: Option<(ResourceKey, Option<Revision>)>,
    state: State,
    now: Timestamp,
}

/// What all records of one transaction have in common.
struct Stamp {
    revision: Revision,
    time_ms: u64,
    operation: OperationId,
}

impl<V: KvView> Draft<'_, V> {
    fn add(&mut self, transaction: Transaction) -> Result<Outcome> {
        let mut before = Vec::with_capacity(transaction.writes.len());
        for write in &transaction.writes {
            let (actual, record) = if write.op == Op::Check && write.key.is_internal() {
                (self.control(&write.key)?, None)
            } else {
                let record = self.newest(&write.key)?;
                (record.as_ref().map(Record::revision), record)
            };
            if !write.precondition.holds(actual) {
                return Ok(Outcome::Conflict(Conflict {
                    key: write.key.clone(),
                    expected: write.precondition,
                    actual,
                }));
            }
            before.push(record);
        }
        let writes = transaction.writes.into_iter().zip(before);
        let effects: Vec<_> = writes.filter_map(effect).collect();
        let raise = transaction.at_least.unwrap_or_default().get();
        if effects.is_empty() {
            self.state.head = self.state.head.max(raise);
        } else {
            self.state.head = (self.state.head + 1).max(raise);
        }
        let revision = Revision::new(self.state.head);
        let stamp = Stamp {
            revision,
            time_ms: transaction.time.unwrap_or(self.now).as_millis(),
            operation: transaction.operation,
        };
        let mut place = 0;
        for effect in effects {
            self.apply(effect, &stamp, &mut place)?;
        }
        Ok(Outcome::Committed { revision })
    }

    fn apply(&mut self, effect: Effect, stamp: &Stamp, place: &mut u16) -> Result<()> {
        let object = ObjectBytes::new(&effect.key);
        let record = Record {
            header: ObjectHeader {
                kind: kind_byte(effect.kind),
                revision: stamp.revision.get(),
                created: effect
                    .before
                    .as_ref()
                    .map_or(stamp.revision.get(), |before| before.header.created),
                time_ms: stamp.time_ms,
                operation: stamp.operation.0,
            },
            value: effect.value,
        };
        if effect.key.is_internal() {
            self.checked.take_if(|(key, _)| *key == effect.key);
            self.put_internal(&object, effect.kind, &record);
            return Ok(());
        }
        let previous = effect.before.as_ref().map(Record::revision);
        match (effect.kind, effect.before) {
            (ChangeKind::Created, _) => {
                self.take_out_of_trash(&object)?;
                self.put(object.current(), &record);
                self.count(&effect.key, 1)?;
            }
            (ChangeKind::Updated, before) => {
                self.replace(&object, before);
                self.put(object.current(), &record);
            }
            (ChangeKind::Deleted, before) => {
                self.replace(&object, before);
                self.batch.remove(object.current());
                self.put_in_trash(&object, &record);
                self.count(&effect.key, -1)?;
            }
        }
        self.log(&object, &record, previous, *place);
        *place += 1;
        Ok(())
    }

    fn put_internal(&mut self, object: &ObjectBytes, kind: ChangeKind, record: &Record) {
        match kind {
            ChangeKind::Created | ChangeKind::Updated => self.put(object.internal(), record),
            ChangeKind::Deleted => self.batch.remove(object.internal()),
        }
    }

    /// Moves a record that is no longer the newest into the history.
    fn replace(&mut self, object: &ObjectBytes, before: Option<Record>) {
        if let Some(before) = before {
            self.put(object.history(before.revision()), &before);
        }
    }

    fn put_in_trash(&mut self, object: &ObjectBytes, deletion: &Record) {
        self.put(object.trash(), deletion);
        let index = object.deleted(deletion.revision());
        let header = DeletedHeader {
            time_ms: deletion.header.time_ms,
        };
        let row = seal(&index, &header, &[]);
        self.batch.put(index, row);
    }

    fn take_out_of_trash(&mut self, object: &ObjectBytes) -> Result<()> {
        let Some(deletion) = self.record(&object.trash())? else {
            return Ok(());
        };
        self.batch.remove(object.trash());
        self.batch.remove(object.deleted(deletion.revision()));
        self.replace(object, Some(deletion));
        Ok(())
    }

    fn log(&mut self, object: &ObjectBytes, record: &Record, previous: Option<Revision>, at: u16) {
        let key = keyspace::log(record.revision(), at);
        let header = ChangeHeader {
            kind: record.header.kind,
            previous: previous.unwrap_or_default().get(),
            time_ms: record.header.time_ms,
        };
        let row = seal(&key, &header, object.as_bytes());
        self.batch.put(key, row);
        self.state.changes += 1;
    }

    fn count(&mut self, key: &ResourceKey, by: i64) -> Result<()> {
        let row_key = keyspace::count(key);
        let before = match self.row(&row_key)? {
            Some(row) => unseal::<CountHeader>(&row_key, &row)?.0.objects,
            None => 0,
        };
        let Some(objects) = before.checked_add_signed(by) else {
            let context = format!("the count of objects beside {key} is below their number");
            return Err(Error::new(ErrorKind::Corrupt, "commit", context));
        };
        if objects == 0 {
            self.batch.remove(row_key);
        } else {
            let row = seal(&row_key, &CountHeader { objects }, &[]);
            self.batch.put(row_key, row);
        }
        Ok(())
    }

    /// Returns the revision of a control record.
    fn control(&mut self, key: &ResourceKey) -> Result<Option<Revision>> {
        if let Some((checked, revision)) = &self.checked
            && checked == key
        {
            return Ok(*revision);
        }
        let revision = self.newest(key)?.as_ref().map(Record::revision);
        self.checked = Some((key.clone(), revision));
        Ok(revision)
    }

    fn newest(&self, key: &ResourceKey) -> Result<Option<Record>> {
        let object = ObjectBytes::new(key);
        self.record(&if key.is_internal() {
            object.internal()
        } else {
            object.current()
        })
    }

    fn record(&self, row_key: &[u8]) -> Result<Option<Record>> {
        let row = self.row(row_key)?;
        row.map(|row| Record::unseal(row_key, &row)).transpose()
    }

    fn row(&self, row_key: &[u8]) -> Result<Option<Bytes>> {
        match self.batch.get(row_key) {
            Some(row) => Ok(row.clone()),
            None => self.view.get(row_key),
        }
    }

    fn put(&mut self, row_key: Vec<u8>, record: &Record) {
        let row = record.seal(&row_key);
        self.batch.put(row_key, row);
    }
}

/// A write that changes something.
struct Effect {
    key: ResourceKey,
    kind: ChangeKind,
    value: Bytes,
    before: Option<Record>,
}

fn effect((write, before): (Write, Option<Record>)) -> Option<Effect> {
    let (kind, value) = match (write.op, &before) {
        (Op::Put(value), None) => (ChangeKind::Created, value),
        (Op::Put(value), Some(_)) => (ChangeKind::Updated, value),
        (Op::Delete(record), Some(_)) => (ChangeKind::Deleted, record),
        (Op::Delete(_), None) | (Op::Check, _) => return None,
    };
    Some(Effect {
        key: write.key,
        kind,
        value,
        before,
    })
}
