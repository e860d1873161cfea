//! The conformance suite on every engine.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use backend_kv::{BTreeEngine, KvBackend};
use conformance::{Declared, Harness, Volatile};
use parking_lot::Mutex;
use storage_core::{Clock, Result, Revision, StorageBackend};
use tempfile::TempDir;
use tokio::sync::watch;

conformance::suite_layered!(
    btree,
    Volatile::new(|clock| KvBackend::open(BTreeEngine::new(), clock).unwrap())
);

#[cfg(feature = "redb")]
conformance::suite_layered!(redb, Folder::new(open_redb));

#[cfg(feature = "sled")]
conformance::suite_layered!(sled, Folder::new(open_sled));

#[cfg(feature = "redb")]
fn open_redb(folder: &Path, clock: Arc<dyn Clock>) -> Result<Arc<dyn StorageBackend>> {
    let options = backend_kv::RedbOptions::default();
    let engine = backend_kv::RedbEngine::open(folder.join("store.redb"), &options)?;
    Ok(Arc::new(KvBackend::open(engine, clock)?))
}

#[cfg(feature = "sled")]
fn open_sled(folder: &Path, clock: Arc<dyn Clock>) -> Result<Arc<dyn StorageBackend>> {
    let options = backend_kv::SledOptions::default();
    let engine = backend_kv::SledEngine::open(folder.join("store.sled"), &options)?;
    Ok(Arc::new(KvBackend::open(engine, clock)?))
}

type Open = fn(&Path, Arc<dyn Clock>) -> Result<Arc<dyn StorageBackend>>;

/// A store in a folder that is removed with the harness.
struct Folder {
    folder: TempDir,
    open: Open,
    /// Ends when the newest store is closed.
    head: Mutex<Option<watch::Receiver<Revision>>>,
}

impl Folder {
    fn new(open: Open) -> Self {
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
