use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ::redb::{
    Builder, Database, ReadOnlyTable, ReadableDatabase, StorageBackend, TableDefinition, TableError,
};
use bytes::Bytes;
use storage_core::{Durability, Error, ErrorKind, Result};

use super::{Batch, Direction, KvEngine, KvView, Visitor, WriteError};
use crate::durable_fs;
use crate::process_lock::{ProcessLock, already_open, beside};

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("unistore");
/// How every redb file starts.
const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";

/// How a redb file is opened.
#[derive(Clone, Debug)]
pub struct RedbOptions {
    /// Most bytes of the file that are kept in memory.
    pub cache_bytes: usize,
}

impl Default for RedbOptions {
    /// Returns the default: a cache of 128 MiB.
    fn default() -> Self {
        Self {
            cache_bytes: 128 << 20,
        }
    }
}

/// redb: one file, a copy-on-write B-tree. The default engine.
///
/// Every batch is a write transaction with `Durability::Immediate`: written, synced, then visible.
#[derive(Debug)]
pub struct RedbEngine {
    database: Database,
    location: String,
    // After the database, which must be closed when another process gets the lock.
    _lock: Option<ProcessLock>,
}

impl RedbEngine {
    /// Opens the file at `path`, and makes it if there is nothing. Blocks.
    ///
    /// # Errors
    /// `Unavailable` if the file is in use or cannot be read or made; `Invalid` if it is something
    /// else than a redb file; `Corrupt`.
    pub fn open(path: impl AsRef<Path>, options: &RedbOptions) -> Result<Self> {
        let path = path.as_ref();
        let lock = ProcessLock::acquire(path)?;
        let database = if path.try_exists().map_err(|e| io_error(path, e))? {
            check_magic(path)?;
            open(path, || builder(options).open(path))?
        } else {
            create(path, options)?
        };
        Self::with_table(database, path.display().to_string(), Some(lock))
    }

    /// Opens on redb's own storage trait. For tests that put faults below redb.
    ///
    /// # Errors
    /// As [`RedbEngine::open`].
    pub fn with_storage(storage: impl StorageBackend, options: &RedbOptions) -> Result<Self> {
        let name = Path::new("redb storage");
        let database = open(name, || builder(options).create_with_backend(storage))?;
        Self::with_table(database, name.display().to_string(), None)
    }

    /// Sees to the one table, so that every view has it.
    fn with_table(database: Database, location: String, lock: Option<ProcessLock>) -> Result<Self> {
        let engine = Self {
            database,
            location,
            _lock: lock,
        };
        let read = engine.database.begin_read().map_err(error)?;
        match read.open_table(ROWS) {
            Ok(_) => Ok(engine),
            Err(TableError::TableDoesNotExist(_))
                if read.list_tables().map_err(error)?.next().is_some() =>
            {
                let context = format!("{} is not a store of unistore", engine.location);
                Err(Error::invalid("open store", context))
            }
            Err(TableError::TableDoesNotExist(_)) => {
                drop(read);
                engine.write(Batch::default()).map_err(|e| match e {
                    WriteError::NotWritten(e) | WriteError::Unknown(e) => e,
                })?;
                Ok(engine)
            }
            Err(other) => Err(error(other)),
        }
    }
}

impl KvEngine for RedbEngine {
    type View<'a> = RedbView;

    fn name(&self) -> &'static str {
        "redb"
    }

    fn location(&self) -> String {
        self.location.clone()
    }

    fn durability(&self) -> Durability {
        Durability::Durable
    }

    fn view(&self) -> Result<RedbView> {
        let read = self.database.begin_read().map_err(error)?;
        let rows = read.open_table(ROWS).map_err(error)?;
        Ok(RedbView { rows })
    }

    fn write(&self, batch: Batch) -> Result<(), WriteError> {
        let not_written = |e: ::redb::Error| WriteError::NotWritten(error(e));
        let transaction = self
            .database
            .begin_write()
            .map_err(|e| not_written(e.into()))?;
        {
            let mut rows = transaction
                .open_table(ROWS)
                .map_err(|e| not_written(e.into()))?;
            for (key, value) in batch.into_rows() {
                match value {
                    Some(value) => rows.insert(key.as_slice(), &*value),
                    None => rows.remove(key.as_slice()),
                }
                .map_err(|e| not_written(e.into()))?;
            }
        }
        transaction
            .commit()
            .map_err(|e| WriteError::Unknown(error(e)))
    }
}

/// A read transaction of redb: it sees one commit and holds up no writer.
#[derive(Debug)]
pub struct RedbView {
    rows: ReadOnlyTable<&'static [u8], &'static [u8]>,
}

impl KvView for RedbView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let value = self.rows.get(key).map_err(error)?;
        Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
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
        let mut rows = self.rows.range::<&[u8]>(range).map_err(error)?;
        let mut next = || match direction {
            Direction::Forward => rows.next(),
            Direction::Backward => rows.next_back(),
        };
        while let Some(row) = next() {
            let (key, value) = row.map_err(error)?;
            if visit(key.value(), value.value())?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn builder(options: &RedbOptions) -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(options.cache_bytes);
    builder
}

/// Makes a file under another name and moves it into place when it is whole: a redb file whose
/// first writes were cut short never opens again.
fn create(path: &Path, options: &RedbOptions) -> Result<Database> {
    let unfinished = beside(path, ".creating");
    let made = |result: std::io::Result<()>| result.map_err(|e| io_error(path, e));
    // Left by a process that ended while it created the store; the lock says that it is gone.
    if unfinished.exists() {
        made(std::fs::remove_file(&unfinished))?;
    }
    let database = open(path, || builder(options).create(&unfinished))?;
    made(durable_fs::sync(&unfinished))?;
    made(durable_fs::rename(&unfinished, path))?;
    Ok(database)
}

/// redb may panic on a damaged file; that is an error as any other.
fn open<D, E: Into<::redb::Error>>(path: &Path, open: impl FnOnce() -> Result<D, E>) -> Result<D> {
    let context = format!("{} cannot be opened", path.display());
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(cause)) => match cause.into() {
            ::redb::Error::DatabaseAlreadyOpen => Err(already_open(path)),
            cause => Err(Error::new(kind(&cause), "open store", context).with_source(cause)),
        },
        Err(_) => Err(Error::new(
            ErrorKind::Corrupt,
            "open store",
            format!("{context}: redb panicked"),
        )),
    }
}

fn check_magic(path: &Path) -> Result<()> {
    let is_redb = || -> std::io::Result<bool> {
        let mut start = Vec::new();
        File::open(path)?
            .take(MAGIC.len() as u64)
            .read_to_end(&mut start)?;
        Ok(start == MAGIC)
    };
    if path.is_file() && is_redb().map_err(|e| io_error(path, e))? {
        return Ok(());
    }
    let context = format!("{} is not a redb file", path.display());
    Err(Error::invalid("open store", context))
}

fn io_error(path: &Path, cause: std::io::Error) -> Error {
    let context = format!("{} cannot be opened", PathBuf::from(path).display());
    Error::new(ErrorKind::Unavailable, "open store", context).with_source(cause)
}

/// The one place where redb's errors become ours.
fn error(cause: impl Into<::redb::Error>) -> Error {
    let cause = cause.into();
    Error::new(kind(&cause), "redb", cause.to_string()).with_source(cause)
}

fn kind(cause: &::redb::Error) -> ErrorKind {
    match cause {
        ::redb::Error::Corrupted(_) => ErrorKind::Corrupt,
        ::redb::Error::UpgradeRequired(_) => ErrorKind::Unsupported,
        ::redb::Error::ValueTooLarge(_) => ErrorKind::TooLarge,
        ::redb::Error::Io(_)
        | ::redb::Error::PreviousIo
        | ::redb::Error::DatabaseClosed
        | ::redb::Error::DatabaseAlreadyOpen
        | ::redb::Error::RepairAborted => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    }
}

/// The size of a value is bound long before redb's own limit.
const _: () = assert!(storage_core::limits::INTERNAL_VALUE_BYTES_MAX < u32::MAX as usize);
