use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use bytes::Bytes;
use parking_lot::{RwLock, RwLockReadGuard};
use storage_core::{Durability, Result};

use super::{Batch, Direction, KvEngine, KvView, Visitor, WriteError};

type Rows = BTreeMap<Vec<u8>, Bytes>;

/// The engine that is a map in memory: the algorithm without a disk.
#[derive(Default)]
pub struct BTreeEngine {
    rows: RwLock<Rows>,
}

impl BTreeEngine {
    /// Creates an empty engine.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl std::fmt::Debug for BTreeEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BTreeEngine").finish_non_exhaustive()
    }
}

impl KvEngine for BTreeEngine {
    type View<'a> = BTreeView<'a>;

    fn name(&self) -> &'static str {
        "btree"
    }

    fn location(&self) -> String {
        "btree:".into()
    }

    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    fn view(&self) -> Result<BTreeView<'_>> {
        Ok(BTreeView {
            rows: self.rows.read(),
        })
    }

    fn write(&self, batch: Batch) -> Result<(), WriteError> {
        let mut rows = self.rows.write();
        for (key, value) in batch.into_rows() {
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
        Ok(())
    }
}

/// A state of a [`BTreeEngine`]: a batch waits until the views are gone.
pub struct BTreeView<'a> {
    rows: RwLockReadGuard<'a, Rows>,
}

impl KvView for BTreeView<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.rows.get(key).cloned())
    }

    fn scan(
        &self,
        range: Range<&[u8]>,
        direction: Direction,
        visit: &mut Visitor<'_>,
    ) -> Result<()> {
        if range.start >= range.end {
            return Ok(());
        }
        let bounds = (Bound::Included(range.start), Bound::Excluded(range.end));
        let mut rows = self.rows.range::<[u8], _>(bounds);
        let mut next = || match direction {
            Direction::Forward => rows.next(),
            Direction::Backward => rows.next_back(),
        };
        while let Some((key, value)) = next() {
            if visit(key, value)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}
