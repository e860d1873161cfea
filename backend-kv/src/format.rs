//! The row that says what a store is, and what happens when a store is opened.

use storage_core::{Error, ErrorKind, Result};

use crate::engine::{Batch, KvEngine, KvView, WriteError};
use crate::keyspace;
use crate::record::{State, seal};
use crate::store::read_state;

/// The version of the layout that this program writes and reads.
pub(crate) const VERSION: u32 = 1;
/// How every format row starts, in every version.
const MAGIC: &[u8] = b"unistore-kv ";

/// Reads the state of a store; an empty engine becomes a store.
pub(crate) fn open(engine: &impl KvEngine) -> Result<State> {
    let row = engine.view()?.get(keyspace::FORMAT)?;
    match row {
        Some(row) => {
            check_version(engine, &row)?;
            read_state(&engine.view()?)
        }
        None if is_empty(engine)? => create(engine),
        None => Err(Error::invalid(
            "open store",
            format!("{} is not a store of unistore", engine.location()),
        )),
    }
}

fn is_empty(engine: &impl KvEngine) -> Result<bool> {
    let mut empty = true;
    engine.view()?.scan(
        &[]..&[u8::MAX],
        crate::engine::Direction::Forward,
        &mut |_, _| {
            empty = false;
            Ok(std::ops::ControlFlow::Break(()))
        },
    )?;
    Ok(empty)
}

fn check_version(engine: &impl KvEngine, row: &[u8]) -> Result<()> {
    let digits = row.strip_prefix(MAGIC).map(std::str::from_utf8);
    let Some(Ok(Ok(version))) = digits.map(|text| text.map(str::parse::<u32>)) else {
        let context = format!("{} has a format row that cannot be read", engine.location());
        return Err(Error::new(ErrorKind::Corrupt, "open store", context));
    };
    if version == VERSION {
        return Ok(());
    }
    let context = format!(
        "{} has format {version}, this program reads format {VERSION}: use {} unistore",
        engine.location(),
        if version > VERSION {
            "a newer"
        } else {
            "an older"
        },
    );
    Err(Error::new(ErrorKind::Unsupported, "open store", context))
}

fn create(engine: &impl KvEngine) -> Result<State> {
    let mut batch = Batch::default();
    let mut row = MAGIC.to_vec();
    row.extend_from_slice(VERSION.to_string().as_bytes());
    batch.put(keyspace::FORMAT.to_vec(), row);
    let state = State::default();
    batch.put(keyspace::STATE.to_vec(), seal(keyspace::STATE, &state, &[]));
    engine.write(batch).map_err(|error| match error {
        WriteError::NotWritten(error) | WriteError::Unknown(error) => error,
    })?;
    Ok(state)
}
