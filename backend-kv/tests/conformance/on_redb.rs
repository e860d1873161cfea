use std::path::Path;
use std::sync::Arc;

use backend_kv::{KvBackend, RedbEngine, RedbOptions};
use storage_core::{Clock, Result, StorageBackend};

pub(crate) fn open(folder: &Path, clock: Arc<dyn Clock>) -> Result<Arc<dyn StorageBackend>> {
    let engine = RedbEngine::open(folder.join("store.redb"), &RedbOptions::default())?;
    Ok(Arc::new(KvBackend::open(engine, clock)?))
}
