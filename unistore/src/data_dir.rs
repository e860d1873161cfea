//! The server's folder: private files, and one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Only the owner may enter.
const FOLDER_MODE: u32 = 0o700;
/// Only the owner may read.
const FILE_MODE: u32 = 0o600;
/// The file that the process in the folder keeps locked.
const LOCK: &str = "lock";

/// A folder that this process has for itself as long as this value lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Creates the folder if it is missing, and takes it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(path)
            .with_context(|| format!("cannot create the data directory {shown}"))?;
        // It holds keys: an older folder that others can enter is closed to them.
        fs::set_permissions(path, fs::Permissions::from_mode(FOLDER_MODE))
            .with_context(|| format!("cannot make the data directory {shown} private"))?;
        let lock = options()
            .truncate(false)
            .open(path.join(LOCK))
            .with_context(|| format!("cannot write to the data directory {shown}"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(fs::TryLockError::WouldBlock) => bail!(
                "the data directory {shown} is in use by another unistore: stop it, or name another one with --data-dir"
            ),
            Err(fs::TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock the data directory {shown}"))
            }
        }
    }

    /// Returns the path of a file in the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a file; none if it does not exist.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>> {
        let path = self.file(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Writes a file that only the owner can read: whole or, after a crash, not at all.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.file(name);
        let new = self.file(&format!("{name}.new"));
        let write = || -> std::io::Result<()> {
            let mut file = options().truncate(true).open(&new)?;
            file.set_permissions(fs::Permissions::from_mode(FILE_MODE))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(FILE_MODE);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_private_and_taken_once() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let first = DataDir::open(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        let second = DataDir::open(&path).unwrap_err().to_string();
        assert!(second.contains("in use by another unistore"), "{second}");
        first.write("x", "1").unwrap();
        fs::set_permissions(first.file("x"), fs::Permissions::from_mode(0o644)).unwrap();
        first.write("x", "2").unwrap();
        assert_eq!(mode(&first.file("x")), 0o600);
        assert_eq!(first.read("x").unwrap().as_deref(), Some("2"));
        assert_eq!(first.read("y").unwrap(), None);
        drop(first);
        DataDir::open(&path).unwrap();
    }
}
