use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace;

/// The file that the owner of a folder keeps locked as long as it lives.
const LOCK: &str = "lock";

/// The folder of one run's servers.
#[derive(Debug)]
pub(super) struct RunFolder {
    path: PathBuf,
    _lock: File,
}

impl RunFolder {
    /// Creates it, and clears away what runs that were killed left behind.
    pub(super) fn create() -> Result<Self> {
        let all = workspace::target_dir().join("test-servers");
        fs::create_dir_all(&all).with_context(|| format!("cannot create {}", all.display()))?;
        remove_stale(&all)?;
        let path = all.join(std::process::id().to_string());
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let lock = File::create(path.join(LOCK))?;
        lock.try_lock()?;
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn remove_stale(all: &Path) -> Result<()> {
    for entry in all.read_dir()? {
        let path = entry?.path();
        // A folder without a lock file is being made at this moment.
        let lock = File::open(path.join(LOCK));
        if !lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            continue;
        }
        super::postgres::stop_stale(&path);
        super::mariadb::stop_stale(&path);
        let _ = fs::remove_dir_all(&path);
    }
    Ok(())
}
