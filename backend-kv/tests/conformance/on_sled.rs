use std::path::Path;
use std::sync::Arc;

use backend_kv::{KvBackend, SledEngine, SledOptions};
use storage_core::{Clock, Result, StorageBackend};

pub(crate) fn open(folder: &Path, clock: Arc<dyn Clock>) -> Result<Arc<dyn StorageBackend>> {
    let engine = SledEngine::open(folder.join("store.sled"), &SledOptions::default())?;
    Ok(Arc::new(KvBackend::open(engine, clock)?))
}
