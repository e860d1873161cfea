//! Rows as sled stores them: short values as they are, long ones in chunks beside them.
//!
//! A row `key` is stored at `0 key`. Its value starts with a byte that says whether the value
//! follows, or the number of its chunks, which are stored at `1 key number`. The number has four
//! bytes, so no chunk of one key can be taken for one of another.

use ::sled::{Batch as SledBatch, Db, IVec};
use bytes::Bytes;
use storage_core::{Error, ErrorKind, Result};

use super::error;
use crate::engine::Batch;
use crate::keyspace::show;

/// The longest value that is stored whole. A leaf of sled holds up to 16 items, and some more
/// while it is merged; together they stay far below a quarter of a segment.
const CHUNK_BYTES: usize = 16 << 10;

const ROW: u8 = 0;
const CHUNK: u8 = 1;

const INLINE: u8 = 0;
const CHUNKED: u8 = 1;

pub(super) fn row_key(key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + key.len());
    bytes.push(ROW);
    bytes.extend_from_slice(key);
    bytes
}

pub(super) fn key_of_row(row_key: &[u8]) -> &[u8] {
    row_key.get(1..).unwrap_or_default()
}

/// Returns the value if it is stored whole.
pub(super) fn inline(stored: &[u8]) -> Option<&[u8]> {
    match stored.split_first() {
        Some((&INLINE, value)) => Some(value),
        _ => None,
    }
}

/// Puts a value together.
pub(super) fn join(db: &Db, key: &[u8], stored: &IVec) -> Result<Bytes> {
    if let Some(value) = inline(stored) {
        return Ok(Bytes::copy_from_slice(value));
    }
    let chunks = chunk_count(key, stored)?;
    let mut value = Vec::with_capacity(chunks as usize * CHUNK_BYTES);
    for number in 0..chunks {
        let chunk = db.get(chunk_key(key, number)).map_err(error)?;
        let chunk = chunk.ok_or_else(|| corrupt(key, "lacks a chunk of its value"))?;
        value.extend_from_slice(&chunk);
    }
    Ok(value.into())
}

/// Turns a batch into sled's, with the chunks of long values, without those of values that go.
pub(super) fn split(db: &Db, batch: Batch) -> Result<SledBatch> {
    let mut split = SledBatch::default();
    for (key, value) in batch.into_rows() {
        let chunks_before = match db.get(row_key(&key)).map_err(error)? {
            Some(stored) if inline(&stored).is_none() => chunk_count(&key, &stored)?,
            Some(_) | None => 0,
        };
        let chunks = value
            .as_deref()
            .map_or(0, |value| put(&mut split, &key, value));
        if value.is_none() {
            split.remove(row_key(&key));
        }
        for number in chunks..chunks_before {
            split.remove(chunk_key(&key, number));
        }
    }
    Ok(split)
}

/// Puts a value and returns how many chunks it has.
fn put(split: &mut SledBatch, key: &[u8], value: &[u8]) -> u32 {
    if value.len() <= CHUNK_BYTES {
        split.insert(row_key(key), [&[INLINE], value].concat());
        return 0;
    }
    let mut chunks: u32 = 0;
    for chunk in value.chunks(CHUNK_BYTES) {
        split.insert(chunk_key(key, chunks), chunk);
        chunks += 1;
    }
    let count = chunks.to_be_bytes();
    split.insert(row_key(key), [&[CHUNKED], count.as_slice()].concat());
    chunks
}

fn chunk_key(key: &[u8], number: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + key.len() + 4);
    bytes.push(CHUNK);
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes
}

fn chunk_count(key: &[u8], stored: &[u8]) -> Result<u32> {
    match stored.split_first() {
        Some((&CHUNKED, count)) => count
            .try_into()
            .map(u32::from_be_bytes)
            .map_err(|_| corrupt(key, "has no number of chunks")),
        _ => Err(corrupt(key, "is stored in an unknown way")),
    }
}

fn corrupt(key: &[u8], what: &str) -> Error {
    let context = format!("the row \"{}\" {what}", show(key));
    Error::new(ErrorKind::Corrupt, "read store", context)
}
