use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use conformance::{Declared, Harness};
use parking_lot::Mutex;
use storage_core::{Clock, Result, Revision, StorageBackend};
use tempfile::TempDir;
use tokio::sync::watch;

pub(crate) type Open = fn(&Path, Arc<dyn Clock>) -> Result<Arc<dyn StorageBackend>>;

/// A store in a folder that is removed with the harness.
pub(crate) struct Folder {
    folder: TempDir,
    open: Open,
    /// Ends when the newest store is closed.
    head: Mutex<Option<watch::Receiver<Revision>>>,
}

impl Folder {
    pub(crate) fn new(open: Open) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            open,
            head: Mutex::default(),
        }
    }
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Folder").field(&self.folder.path()).finish()
    }
}

#[async_trait]
impl Harness for Folder {
    async fn open(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn StorageBackend>> {
        let store = (self.open)(self.folder.path(), clock)?;
        *self.head.lock() = Some(store.head());
        Ok(store)
    }

    fn declared(&self) -> Declared {
        Declared::EMBEDDED
    }

    async fn closed(&self) {
        let head = self.head.lock().take();
        if let Some(mut head) = head {
            while head.changed().await.is_ok() {}
        }
    }
}
