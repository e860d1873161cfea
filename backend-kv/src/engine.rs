//! What the algorithm needs of an ordered key-value engine, and the engines.

mod btree;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "sled")]
mod sled;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{ControlFlow, Range};

use bytes::Bytes;
use storage_core::{Durability, Error, Result};

pub use self::btree::BTreeEngine;
#[cfg(feature = "redb")]
pub use self::redb::{RedbEngine, RedbOptions};
#[cfg(feature = "sled")]
pub use self::sled::{SledEngine, SledOptions, SledSync};

/// An ordered map from bytes to bytes, on disk or in memory. Its calls block.
///
/// # Behaviour
/// * A view shows one state: every batch whole or not at all, for as long as the view lives.
/// * A batch that was answered `Ok` is in every later view, and survives what `durability` says.
/// * What a view shows is durable: a batch is in no view before it is.
/// * At most one batch is written at a time; the caller sees to that.
/// * One process at a time has the data open.
pub trait KvEngine: fmt::Debug + Send + Sync + 'static {
    /// A consistent state to read.
    type View<'a>: KvView
    where
        Self: 'a;

    /// Returns the name of the engine, as in a store's URL.
    fn name(&self) -> &'static str;

    /// Returns where the data is.
    fn location(&self) -> String;

    /// Returns what an answered batch survives.
    fn durability(&self) -> Durability;

    /// Takes a view of the newest state.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    fn view(&self) -> Result<Self::View<'_>>;

    /// Writes a batch, whole or not at all, durably. No view of this thread may be alive.
    ///
    /// # Errors
    /// Whether the batch is certainly not written, or may be.
    fn write(&self, batch: Batch) -> Result<(), WriteError>;
}

/// One state of an engine.
pub trait KvView {
    /// Returns the value of a key.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>>;

    /// Shows the rows of a range to `visit`, in order, until it breaks or fails. `visit` may read
    /// from the same view.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`, or what `visit` returned.
    fn scan(
        &self,
        range: Range<&[u8]>,
        direction: Direction,
        visit: &mut Visitor<'_>,
    ) -> Result<()>;
}

/// Sees the key and value of each row of a scan, and says whether to go on.
pub type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>> + 'a;

/// The order of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Smallest key first.
    Forward,
    /// Greatest key first.
    Backward,
}

/// Rows to put and to remove together. A later change of a key replaces an earlier one.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    rows: BTreeMap<Vec<u8>, Option<Bytes>>,
}

impl Batch {
    /// Puts a row.
    pub fn put(&mut self, key: Vec<u8>, value: impl Into<Bytes>) {
        self.rows.insert(key, Some(value.into()));
    }

    /// Removes a row, if it is there.
    pub fn remove(&mut self, key: Vec<u8>) {
        self.rows.insert(key, None);
    }

    /// Returns what this batch makes of a key, if anything.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        self.rows.get(key)
    }

    /// Tells whether nothing is put or removed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the rows in key order; a row without a value is removed.
    pub fn into_rows(self) -> impl Iterator<Item = (Vec<u8>, Option<Bytes>)> {
        self.rows.into_iter()
    }
}

/// A batch that was not answered `Ok`.
#[derive(Clone, Debug)]
pub enum WriteError {
    /// The batch is certainly not written, now or after the store is opened again.
    NotWritten(Error),
    /// The batch may be found written when the store is opened again.
    Unknown(Error),
}
