use std::collections::HashMap;

use parking_lot::Mutex;
use storage_core::{Precondition, ResourceKey, Result, Revision, Stored};

use crate::Side;
use crate::inner::Inner;
use crate::record::corrupt;

/// Most fences that a process remembers; beyond it, all are read again.
const CACHED_FENCES_MAX: usize = 100_000;

/// Where the fences of objects were seen last: a guess, which legacy checks.
///
/// A fence is a small record in legacy, one per object, that names the last write that reached
/// legacy. Each write replaces it in the same transaction, on the condition that it is still where
/// it was read; so a write that comes late, after another one of the same object, is refused, and
/// who finishes somebody else's write sees whether legacy has it already.
#[derive(Debug, Default)]
pub(crate) struct FenceCache(Mutex<HashMap<ResourceKey, Revision>>);

/// What a fence says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    /// The write that set it.
    pub(crate) write: Revision,
    /// Legacy's revision of that write.
    pub(crate) at: Revision,
}

impl FenceCache {
    pub(crate) fn guess(&self, object: &ResourceKey) -> Option<Precondition> {
        self.0
            .lock()
            .get(object)
            .copied()
            .map(Precondition::Revision)
    }

    pub(crate) fn learn(&self, object: &ResourceKey, at: Revision) {
        let mut cache = self.0.lock();
        if cache.len() >= CACHED_FENCES_MAX {
            cache.clear();
        }
        cache.insert(object.clone(), at);
    }

    pub(crate) fn forget(&self, object: &ResourceKey) {
        self.0.lock().remove(object);
    }
}

impl Inner {
    /// Reads the fence of an object.
    pub(crate) async fn fence(&self, object: &ResourceKey) -> Result<Option<Fence>> {
        let key = self.keys.fence(object);
        let Some(stored) = self.store(Side::Legacy).get(&key, None).await? else {
            self.fences.forget(object);
            return Ok(None);
        };
        let fence = Fence {
            write: parse(&stored)?,
            at: stored.revision,
        };
        self.fences.learn(object, fence.at);
        Ok(Some(fence))
    }
}

impl Fence {
    /// Returns the condition under which the fence may be replaced.
    pub(crate) fn unchanged(fence: Option<Self>) -> Precondition {
        fence.map_or(Precondition::Absent, |f| Precondition::Revision(f.at))
    }
}

fn parse(stored: &Stored) -> Result<Revision> {
    std::str::from_utf8(&stored.value)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| corrupt(&stored.key, "is not a revision"))
}
