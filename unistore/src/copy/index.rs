use std::collections::HashSet;
use std::pin::pin;

use futures::TryStreamExt;
use storage_core::{
    ChangeKind, ListQuery, Order, ResourceKey, Result, Revision, Scope, StorageBackend, Stored,
};

use crate::scan::scan;

/// Value bytes that the index keeps, so that small stores are read once.
const KEPT_BYTES_MAX: usize = 256 << 20;

/// Every record of a store's history, in the order of revisions: about 100 bytes of memory each.
pub(super) struct Index {
    pub(super) entries: Vec<Entry>,
    pub(super) keys: HashSet<ResourceKey>,
    /// The newest revision of the store when the index was begun.
    pub(super) revision: Revision,
}

/// One record.
pub(super) struct Entry {
    pub(super) revision: Revision,
    pub(super) key: ResourceKey,
    pub(super) kind: ChangeKind,
    /// The record itself, as long as there is room.
    pub(super) stored: Option<Stored>,
}

impl Index {
    pub(super) async fn read(source: &dyn StorageBackend) -> Result<Self> {
        let revision = *source.head().borrow();
        let mut entries = Vec::new();
        let mut keys = HashSet::new();
        let mut kept_bytes = 0;
        let history = scan(source, ListQuery::history(Scope::All, Order::Ascending));
        let mut history = pin!(history);
        while let Some(stored) = history.try_next().await? {
            // Later ones would be cut off in the middle of the changes.
            if stored.revision > revision {
                continue;
            }
            if !keys.contains(&stored.key) {
                keys.insert(stored.key.clone());
            }
            kept_bytes += stored.value.len();
            entries.push(Entry {
                revision: stored.revision,
                key: stored.key.clone(),
                kind: stored.kind,
                stored: (kept_bytes <= KEPT_BYTES_MAX).then_some(stored),
            });
        }
        entries.sort_by(|a, b| (a.revision, &a.key).cmp(&(b.revision, &b.key)));
        Ok(Self {
            entries,
            keys,
            revision,
        })
    }
}
