use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use storage_core::{Error, ErrorKind, Result};

/// The right of this process to a store on disk: a lock on a file beside it.
///
/// Engines lock their files too, but not while they are made or moved into place. The lock goes
/// with the process, however it ends; the file stays.
#[derive(Debug)]
pub(crate) struct ProcessLock {
    file: File,
}

impl Drop for ProcessLock {
    fn drop(&mut self) {
        // A child that is no other program yet has this file too, and the lock as long as it does.
        let _ = self.file.unlock();
    }
}

impl ProcessLock {
    /// Takes the right to `store`.
    pub(crate) fn acquire(store: &Path) -> Result<Self> {
        let path = beside(store, ".lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(|error| {
            let context = format!("{} cannot be opened", path.display());
            Error::new(ErrorKind::Unavailable, "open store", context).with_source(error)
        })?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(already_open(store)),
            Err(TryLockError::Error(error)) => {
                let context = format!("{} cannot be locked", path.display());
                Err(Error::new(ErrorKind::Unavailable, "open store", context).with_source(error))
            }
        }
    }
}

/// The error of a second process, or of a second open in this one.
pub(crate) fn already_open(store: &Path) -> Error {
    let context = format!(
        "{} is in use: one process at a time may open it",
        store.display()
    );
    Error::new(ErrorKind::Unavailable, "open store", context)
}

/// Returns the path with something added to its last part.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(suffix);
    name.into()
}
