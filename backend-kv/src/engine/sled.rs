mod chunk;

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use ::sled::{Config, Db};
use bytes::Bytes;
use parking_lot::{RwLock, RwLockReadGuard};
use storage_core::{Durability, Error, ErrorKind, Result};

use super::{Batch, Direction, KvEngine, KvView, Visitor, WriteError};
use crate::durable_fs;
use crate::process_lock::{ProcessLock, beside};

/// sled keeps an item that is longer than a quarter of a segment in a file of its own, which it
/// never syncs. With segments of this size and rows in chunks no item is that long.
const SEGMENT_BYTES: usize = 4 << 20;
/// How long threads of a store that this process has just closed may keep its files.
const REOPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// How a sled folder is opened.
#[derive(Clone, Debug)]
pub struct SledOptions {
    /// Most bytes of pages that are kept in memory.
    pub cache_bytes: u64,
    #[doc(hidden)]
    pub sync: SledSync,
}

/// What is done before a batch is answered. Only tests may choose.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SledSync {
    /// Sync the log after sled's flush.
    #[default]
    FlushAndSync,
    /// Trust sled's flush, which loses data with the power.
    FlushOnly,
}

impl Default for SledOptions {
    /// Returns the default: a cache of 128 MiB.
    fn default() -> Self {
        Self {
            cache_bytes: 128 << 20,
            sync: SledSync::default(),
        }
    }
}

/// sled 0.34: one folder, a log-structured B-tree. Experimental: its last release is of 2021.
///
/// `flush` of sled writes its log but does not make it durable, so every batch is followed by a
/// sync of the log file of our own. sled has no snapshots; a view locks out the writer instead.
#[derive(Debug)]
pub struct SledEngine {
    db: Db,
    log: File,
    sync: SledSync,
    turn: RwLock<()>,
    location: String,
    // After the files, which must be closed when another process gets the lock.
    _lock: ProcessLock,
}

impl SledEngine {
    /// Opens the folder at `path`, and makes it if there is nothing. Blocks.
    ///
    /// # Errors
    /// `Unavailable` if the folder is in use or cannot be read or made; `Invalid` if it is
    /// something else than a sled folder; `Corrupt`.
    pub fn open(path: impl AsRef<Path>, options: &SledOptions) -> Result<Self> {
        let path = path.as_ref();
        let lock = ProcessLock::acquire(path)?;
        if path.try_exists().map_err(|e| io_error(path, e))? {
            check_folder(path)?;
        } else {
            create(path, options)?;
        }
        let db = open(path, options)?;
        let log = File::open(path.join("db")).map_err(|e| io_error(path, e))?;
        if options.sync == SledSync::FlushAndSync {
            // What recovery wrote must last before anything is built on it.
            sync_tree(path).map_err(|e| io_error(path, e))?;
        }
        Ok(Self {
            db,
            log,
            sync: options.sync,
            turn: RwLock::new(()),
            location: path.display().to_string(),
            _lock: lock,
        })
    }

    fn flush(&self) -> ::sled::Result<()> {
        self.db.flush()?;
        match self.sync {
            SledSync::FlushAndSync => Ok(self.log.sync_data()?),
            SledSync::FlushOnly => Ok(()),
        }
    }
}

impl KvEngine for SledEngine {
    type View<'a> = SledView<'a>;

    fn name(&self) -> &'static str {
        "sled"
    }

    fn location(&self) -> String {
        self.location.clone()
    }

    fn durability(&self) -> Durability {
        Durability::Durable
    }

    fn view(&self) -> Result<SledView<'_>> {
        Ok(SledView {
            db: &self.db,
            _turn: self.turn.read(),
        })
    }

    fn write(&self, batch: Batch) -> Result<(), WriteError> {
        let _turn = self.turn.write();
        let rows = chunk::split(&self.db, batch).map_err(WriteError::NotWritten)?;
        let written = self.db.apply_batch(rows).and_then(|()| self.flush());
        written.map_err(|e| WriteError::Unknown(error(e)))
    }
}

/// A state of a [`SledEngine`]: a batch waits until the views are gone.
#[derive(Debug)]
pub struct SledView<'a> {
    db: &'a Db,
    _turn: RwLockReadGuard<'a, ()>,
}

impl KvView for SledView<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let stored = self.db.get(chunk::row_key(key)).map_err(error)?;
        stored
            .map(|stored| chunk::join(self.db, key, &stored))
            .transpose()
    }

    fn scan(
        &self,
        range: Range<&[u8]>,
        direction: Direction,
        visit: &mut Visitor<'_>,
    ) -> Result<()> {
        if range.start >= range.end {
            return Ok(());
        }
        let mut rows = self
            .db
            .range(chunk::row_key(range.start)..chunk::row_key(range.end));
        let mut next = || match direction {
            Direction::Forward => rows.next(),
            Direction::Backward => rows.next_back(),
        };
        while let Some(row) = next() {
            let (row_key, stored) = row.map_err(error)?;
            let key = chunk::key_of_row(&row_key);
            let seen = match chunk::inline(&stored) {
                Some(value) => visit(key, value)?,
                None => visit(key, &chunk::join(self.db, key, &stored)?)?,
            };
            if seen.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Makes a folder under another name and moves it into place when it is whole.
fn create(path: &Path, options: &SledOptions) -> Result<()> {
    let unfinished = beside(path, ".creating");
    let made = |result: std::io::Result<()>| result.map_err(|e| io_error(path, e));
    // Left by a process that ended while it created the store; the lock says that it is gone.
    if unfinished.exists() {
        made(std::fs::remove_dir_all(&unfinished))?;
    }
    let db = open(&unfinished, options)?;
    db.flush().map_err(error)?;
    drop(db);
    made(sync_tree(&unfinished))?;
    made(durable_fs::rename(&unfinished, path))
}

/// The lock beside the store is ours, so whoever still has the folder is a thread of a store that
/// this process closed a moment ago. sled offers nothing to wait for.
fn open(path: &Path, options: &SledOptions) -> Result<Db> {
    let config = Config::new()
        .path(path)
        .cache_capacity(options.cache_bytes)
        .segment_size(SEGMENT_BYTES)
        .flush_every_ms(None);
    let deadline = Instant::now() + REOPEN_TIMEOUT;
    loop {
        match config.open() {
            Ok(db) => return Ok(db),
            Err(::sled::Error::Io(cause))
                if cause.to_string().contains("could not acquire lock")
                    && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(cause) => {
                let context = format!("{} cannot be opened", path.display());
                return Err(Error::new(kind(&cause), "open store", context).with_source(cause));
            }
        }
    }
}

/// Makes a folder and everything in it durable.
fn sync_tree(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            durable_fs::sync(&path)?;
        }
    }
    durable_fs::sync(folder)
}

fn check_folder(path: &Path) -> Result<()> {
    if path.join("conf").is_file() && path.join("db").is_file() {
        return Ok(());
    }
    let context = format!("{} is not a sled folder", path.display());
    Err(Error::invalid("open store", context))
}

fn io_error(path: &Path, cause: std::io::Error) -> Error {
    let context = format!("{} cannot be opened", path.display());
    Error::new(ErrorKind::Unavailable, "open store", context).with_source(cause)
}

/// The one place where sled's errors become ours.
fn error(cause: ::sled::Error) -> Error {
    Error::new(kind(&cause), "sled", cause.to_string()).with_source(cause)
}

fn kind(cause: &::sled::Error) -> ErrorKind {
    match cause {
        ::sled::Error::Corruption { .. } => ErrorKind::Corrupt,
        ::sled::Error::Io(_) => ErrorKind::Unavailable,
        ::sled::Error::Unsupported(_) => ErrorKind::Unsupported,
        ::sled::Error::CollectionNotFound(_) | ::sled::Error::ReportableBug(_) => {
            ErrorKind::Internal
        }
    }
}
