use std::ops::ControlFlow;

use bytes::Bytes;
use storage_core::{Error, ErrorKind, ResourceKey, Result, Revision, Stored};

use crate::engine::{Direction, KvEngine, KvView};
use crate::keyspace::ObjectBytes;
use crate::record::{Record, State};
use crate::store::Store;

impl<E: KvEngine> Store<E> {
    pub(crate) fn get(&self, key: &ResourceKey) -> Result<Option<Stored>> {
        self.usable("get")?;
        let object = ObjectBytes::new(key);
        let row_key = if key.is_internal() {
            object.internal()
        } else {
            object.current()
        };
        let record = read_record(&self.engine.view()?, &row_key)?;
        Ok(record.map(|record| record.into_stored(key.clone())))
    }

    pub(crate) fn get_at(&self, key: &ResourceKey, at: Revision) -> Result<Option<Stored>> {
        if key.is_internal() {
            let context = "the internal group has no old revisions";
            return Err(Error::invalid("get", context));
        }
        let (view, state) = self.view("get")?;
        not_in_the_future("get", at, state)?;
        match newest_at(&view, &ObjectBytes::new(key), at)? {
            Some(record) if record.is_deletion() => Ok(None),
            Some(record) => Ok(Some(record.into_stored(key.clone()))),
            None => not_expired("get", at, state).map(|()| None),
        }
    }
}

/// Returns the newest record of an object at or before a revision, deletion included.
fn newest_at(view: &impl KvView, object: &ObjectBytes, at: Revision) -> Result<Option<Record>> {
    for row_key in [object.current(), object.trash()] {
        let newest = read_record(view, &row_key)?;
        if newest
            .as_ref()
            .is_some_and(|record| record.revision() <= at)
        {
            return Ok(newest);
        }
    }
    newest_in_history(view, object, at)
}

/// Returns the newest record at or before a revision of an object whose newest one is later.
pub(crate) fn newest_in_history(
    view: &impl KvView,
    object: &ObjectBytes,
    at: Revision,
) -> Result<Option<Record>> {
    let range = object.history_range(Revision::ZERO..at.next());
    let mut found = None;
    view.scan(
        &range.start..&range.end,
        Direction::Backward,
        &mut |key, row| {
            found = Some(Record::unseal(key, &Bytes::copy_from_slice(row))?);
            Ok(ControlFlow::Break(()))
        },
    )?;
    Ok(found)
}

/// Returns the record of exactly this revision, wherever it is by now.
pub(crate) fn record_of(
    view: &impl KvView,
    object: &ObjectBytes,
    revision: Revision,
) -> Result<Record> {
    for row_key in [object.history(revision), object.current(), object.trash()] {
        let record = read_record(view, &row_key)?;
        if let Some(record) = record.filter(|record| record.revision() == revision) {
            return Ok(record);
        }
    }
    let context = format!("{} has no record of revision {revision}", object.to_key()?);
    Err(Error::new(ErrorKind::Corrupt, "read store", context))
}

pub(crate) fn read_record(view: &impl KvView, row_key: &[u8]) -> Result<Option<Record>> {
    let row = view.get(row_key)?;
    row.map(|row| Record::unseal(row_key, &row)).transpose()
}

pub(crate) fn not_in_the_future(
    operation: &'static str,
    revision: Revision,
    state: State,
) -> Result<()> {
    if revision.get() > state.head {
        let context = format!(
            "revision {revision} is newer than the store's {}",
            state.head
        );
        return Err(Error::new(ErrorKind::FutureRevision, operation, context));
    }
    Ok(())
}

pub(crate) fn not_expired(operation: &'static str, revision: Revision, state: State) -> Result<()> {
    if revision.get() < state.horizon {
        let context = format!("revision {revision} is below the horizon {}", state.horizon);
        return Err(Error::new(ErrorKind::Expired, operation, context));
    }
    Ok(())
}
