use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use storage_core::{Error, ErrorKind, Result};

use super::DIALECT;
use super::session::{SqliteSession, failure, roll_back, run};
use crate::store::failure::Failure;
use crate::store::schema;
use crate::store::session::Session;
use crate::{SqlOptions, SqliteSync};

/// The oldest library that is sound: earlier ones may lose a write when the WAL is reset.
const LIBRARY_VERSION_MIN: i32 = 3_051_003;

/// Prepared statements that a connection keeps.
const STATEMENTS_MAX: usize = 128;

/// Bytes to which the WAL file is cut back after a checkpoint.
const WAL_BYTES_MAX: i64 = 64 << 20;

/// KiB of pages that a connection keeps in memory.
const CACHE_KIB: u32 = 16 << 10;

/// A file that this process alone has open, its schema brought up to date.
#[derive(Debug)]
pub(super) struct LockedFile {
    pub(super) connection: Connection,
    path: PathBuf,
    // Dropped after the connection.
    _lock: Lock,
}

/// The right of this process to the database.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // A child that is no other program yet has this file too, and the lock as long as it does.
        let _ = self.0.unlock();
    }
}

impl LockedFile {
    /// Opens it for the one connection that writes.
    pub(super) fn open(path: &Path, options: &SqlOptions) -> Result<Self> {
        check_library()?;
        let lock = lock(path)?;
        let connection = connect(path, OpenFlags::SQLITE_OPEN_CREATE, options)?;
        let mut file = Self {
            connection,
            path: path.to_path_buf(),
            _lock: lock,
        };
        // Takes effect in a file that has no tables yet only.
        file.set("auto_vacuum", "INCREMENTAL")?;
        file.use_wal()?;
        file.set("synchronous", synchronous(options.sqlite_sync))?;
        file.set("journal_size_limit", WAL_BYTES_MAX)?;
        file.migrate()?;
        Ok(file)
    }

    /// Opens one more connection, which only reads.
    pub(super) fn reader(&self, options: &SqlOptions) -> Result<Connection> {
        let connection = connect(&self.path, OpenFlags::empty(), options)?;
        let query_only = connection.pragma_update(None, "query_only", true);
        query_only.map_err(|e| failure(e).into_error())?;
        Ok(connection)
    }

    fn set(&self, pragma: &str, value: impl rusqlite::ToSql) -> Result<()> {
        let answer = self
            .connection
            .pragma_update_and_check(None, pragma, value, |_| Ok(()));
        match answer {
            Ok(()) | Err(rusqlite::Error::QueryReturnedNoRows) => Ok(()),
            Err(error) => Err(failure(error).into_error()),
        }
    }

    fn use_wal(&self) -> Result<()> {
        let mode: String = self
            .connection
            .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
            .map_err(|e| failure(e).into_error())?;
        if mode.eq_ignore_ascii_case("wal") {
            return Ok(());
        }
        let context = format!("the journal mode is {mode}, WAL is needed: is it a network disk?");
        Err(Error::new(ErrorKind::Unsupported, "open", context))
    }

    fn migrate(&mut self) -> Result<()> {
        let mut session = SqliteSession {
            connection: &mut self.connection,
        };
        let migrated = run(async {
            session.begin_write().await?;
            schema::migrate(&mut session, &DIALECT).await?;
            session.end().await
        });
        if migrated.is_err() {
            roll_back(&self.connection);
        }
        migrated.map_err(Failure::into_error)
    }
}

const fn synchronous(sync: SqliteSync) -> &'static str {
    match sync {
        SqliteSync::Full => "FULL",
        SqliteSync::Off => "OFF",
    }
}

/// Returns the path in a store's URL.
pub(super) fn path(location: &str) -> Result<PathBuf> {
    let path = location.strip_prefix("sqlite:").unwrap_or(location);
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.starts_with(':') {
        let context = format!("{location:?} names no file: sqlite:PATH is needed");
        return Err(Error::invalid("open", context));
    }
    Ok(PathBuf::from(path))
}

/// The store could not be opened.
pub(super) fn unavailable(
    what: impl Into<String>,
    source: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::new(ErrorKind::Unavailable, "open", what.into()).with_source(source)
}

fn check_library() -> Result<()> {
    let version = rusqlite::version_number();
    if version >= LIBRARY_VERSION_MIN {
        return Ok(());
    }
    let context =
        format!("the SQLite library is {version}, at least {LIBRARY_VERSION_MIN} is needed");
    Err(Error::new(ErrorKind::Unsupported, "open", context))
}

/// Locks a file beside the database. Not the database itself: closing any handle of it would drop
/// the locks that SQLite holds.
fn lock(path: &Path) -> Result<Lock> {
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    let name = PathBuf::from(name);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|e| unavailable(format!("{} cannot be opened", name.display()), e))?;
    match lock.try_lock() {
        Ok(()) => Ok(Lock(lock)),
        Err(TryLockError::WouldBlock) => {
            let context = format!(
                "{} is open already, here or in another process: SQLite stores are for one \
                 process, PostgreSQL and MySQL for many",
                path.display()
            );
            Err(Error::new(ErrorKind::Unavailable, "open", context))
        }
        Err(TryLockError::Error(e)) => Err(unavailable(
            format!("{} cannot be locked", name.display()),
            e,
        )),
    }
}

fn connect(path: &Path, flags: OpenFlags, options: &SqlOptions) -> Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)
        .map_err(|e| unavailable(format!("{} cannot be opened", path.display()), e))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    let set = connection
        .busy_timeout(options.request_timeout)
        .and_then(|()| connection.pragma_update(None, "cache_size", -i64::from(CACHE_KIB)))
        .and_then(|()| connection.pragma_update(None, "temp_store", "MEMORY"));
    set.map_err(|e| failure(e).into_error())?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_path() {
        for location in ["sqlite:/a/b.db", "/a/b.db", "sqlite:///a/b.db"] {
            assert_eq!(path(location).unwrap(), Path::new("/a/b.db"));
        }
        assert_eq!(path("sqlite:b.db").unwrap(), Path::new("b.db"));
        for location in ["", "sqlite:", "sqlite::memory:"] {
            assert!(path(location).is_err(), "{location:?} was taken");
        }
    }

    #[test]
    fn the_library_that_is_linked_in_is_sound() {
        check_library().unwrap();
    }
}
