use std::sync::Arc;

use storage_core::StorageBackend;
use storage_core::layer::{ChangeCache, GroupCommit, Observe};

/// A store with the usual layers above it: it counts and traces calls, answers watches from memory,
/// and commits what many callers write together.
#[derive(Debug)]
pub struct Layers {
    store: Arc<dyn StorageBackend>,
    group_commit: Arc<GroupCommit<Arc<dyn StorageBackend>>>,
}

impl Layers {
    /// Puts the layers on an engine.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn new(engine: Arc<dyn StorageBackend>) -> Self {
        let group_commit = Arc::new(GroupCommit::new(engine));
        let store = Observe::new(ChangeCache::new(Arc::clone(&group_commit)));
        Self {
            store: Arc::new(store),
            group_commit,
        }
    }

    /// Returns the store with its layers.
    #[must_use]
    pub fn store(&self) -> Arc<dyn StorageBackend> {
        Arc::clone(&self.store)
    }

    /// Commits what is queued and waits for it. Later writes are refused.
    pub async fn shutdown(&self) {
        self.group_commit.shutdown().await;
    }
}
