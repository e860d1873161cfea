use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;

use storage_core::{Result, Revision};

use crate::engine::{Direction, KvView};
use crate::keyspace::{ObjectBytes, ObjectRange, deleted_from, parse_deleted_row};

/// Most keys that are held at once; more are found by another pass over the deletions.
const CHUNK_KEYS_MAX: usize = 4096;

/// The objects of a range that were deleted after a revision and not created again, in key order.
///
/// Found by the order of their deletions, so that the cost goes with what was deleted since and
/// not with what is in the trash.
pub(super) struct DeletedSince<'v, V> {
    view: &'v V,
    objects: ObjectRange,
    after: Revision,
    chunk: VecDeque<Vec<u8>>,
    exhausted: bool,
}

impl<'v, V: KvView> DeletedSince<'v, V> {
    pub(super) fn new(view: &'v V, objects: ObjectRange, after: Revision) -> Self {
        Self {
            view,
            objects,
            after,
            chunk: VecDeque::new(),
            exhausted: false,
        }
    }

    /// Returns the next one that is before `object`, or the next one.
    pub(super) fn next_before(&mut self, object: Option<&[u8]>) -> Result<Option<ObjectBytes>> {
        if self.chunk.is_empty() && !self.exhausted {
            self.read_ahead()?;
        }
        let first = self.chunk.front();
        let is_before = first.is_some_and(|first| object.is_none_or(|o| first.as_slice() < o));
        let next = if is_before {
            self.chunk.pop_front()
        } else {
            None
        };
        Ok(next.map(|bytes| ObjectBytes::from_bytes(&bytes)))
    }

    fn read_ahead(&mut self) -> Result<()> {
        let mut first = BTreeSet::new();
        self.exhausted = true;
        let range = deleted_from(self.after.next());
        self.view.scan(
            &range.start..&range.end,
            Direction::Forward,
            &mut |key, _| {
                let (_, object) = parse_deleted_row(key)?;
                if self.objects.contains(object) {
                    first.insert(object.to_vec());
                }
                if first.len() > CHUNK_KEYS_MAX {
                    first.pop_last();
                    self.exhausted = false;
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
        if let Some(last) = first.last() {
            self.objects = self.objects.clone().starting_after(last);
        }
        self.chunk = first.into_iter().collect();
        Ok(())
    }
}
