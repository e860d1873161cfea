//! The combinations that benches and the load generator measure, by name.

use std::path::Path;
use std::sync::Arc;

use backend_kv::{KvBackend, RedbEngine, RedbOptions, SledEngine, SledOptions};
use storage_core::layer::{ChangeCache, GroupCommit};
use storage_core::{Error, Memory, Result, StorageBackend, SystemClock};

/// The engines that need no server.
pub const EMBEDDED: [&str; 2] = ["redb", "sled"];

/// Opens an empty store in `folder`.
///
/// A name is an engine (`memory`, `redb`, `sled`) and what is put on it: `+gc` for group commit,
/// `+layers` for group commit and the change cache.
///
/// # Errors
/// `Invalid` for a name that is not known; those of the engine.
pub fn open(name: &str, folder: &Path) -> Result<Arc<dyn StorageBackend>> {
    let (engine, layers) = name.split_once('+').unwrap_or((name, ""));
    let bare = open_engine(engine, folder)?;
    match layers {
        "" => Ok(bare),
        "gc" => Ok(Arc::new(GroupCommit::new(bare))),
        "layers" => Ok(Arc::new(ChangeCache::new(GroupCommit::new(bare)))),
        _ => Err(unknown(name)),
    }
}

fn open_engine(engine: &str, folder: &Path) -> Result<Arc<dyn StorageBackend>> {
    let clock = Arc::new(SystemClock);
    match engine {
        "memory" => Ok(Arc::new(Memory::new())),
        "redb" => {
            let engine = RedbEngine::open(folder.join("bench.redb"), &RedbOptions::default())?;
            Ok(Arc::new(KvBackend::open(engine, clock)?))
        }
        "sled" => {
            let engine = SledEngine::open(folder.join("bench.sled"), &SledOptions::default())?;
            Ok(Arc::new(KvBackend::open(engine, clock)?))
        }
        _ => Err(unknown(engine)),
    }
}

fn unknown(name: &str) -> Error {
    let context = format!("{name:?} is not a target: memory, redb or sled, with +gc or +layers");
    Error::invalid("open target", context)
}
