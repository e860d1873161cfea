use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use backend_sql::{PostgresBackend, SqlOptions, SqliteBackend, SqliteSync};
use conformance::durability::{Compacting, Opened, Served, Setting, Workload};
use sqlx::Connection;
use storage_core::{Clock, Result, StorageBackend};
use tempfile::TempDir;

use crate::servers::{Kind, OwnServer};

/// A setting of a database that is put to the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite,
    /// `synchronous=OFF`: it leaves it to the kernel when something reaches the disk.
    SqliteUnsynced,
    Postgres,
    /// `fsync=off`, behind the back of the store, which refuses such a server.
    PostgresUnsynced,
}

impl Database {
    pub(crate) const ALL: [Self; 4] = [
        Self::Sqlite,
        Self::SqliteUnsynced,
        Self::Postgres,
        Self::PostgresUnsynced,
    ];
}

/// What makes a server fit on a small disk.
const SMALL: [&str; 6] = [
    "-c",
    "shared_buffers=16MB",
    "-c",
    "min_wal_size=32MB",
    "-c",
    "max_wal_size=64MB",
];

#[async_trait]
impl Setting for Database {
    fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::SqliteUnsynced => "sqlite-unsynced",
            Self::Postgres => "postgres",
            Self::PostgresUnsynced => "postgres-unsynced",
        }
    }

    fn workload(&self, seed: u64) -> Workload {
        Workload {
            seed,
            // Nothing leaves the history, so that values are shorter.
            value_bytes_max: 60_000,
            compacting: Compacting::ChangesOnly,
        }
    }

    async fn prepare(&self, folder: &Path) -> Result<(), String> {
        match self {
            Self::Sqlite | Self::SqliteUnsynced => Ok(()),
            Self::Postgres | Self::PostgresUnsynced => copy_new_server(folder),
        }
    }

    async fn serve(&self, folder: &Path) -> Result<Served, String> {
        match self {
            Self::Sqlite | Self::SqliteUnsynced => Ok(Served::embedded(folder)),
            Self::Postgres | Self::PostgresUnsynced => {
                // A server that is known not to sync is not opened.
                let settings = std::fs::File::create(folder.join("data/postgresql.auto.conf"));
                settings.map_err(|e| format!("the server's settings: {e}"))?;
                let server = OwnServer::start_in(Kind::Postgres, folder, &SMALL).await?;
                let location = server.url();
                Ok(Served::by(server, location))
            }
        }
    }

    async fn open(&self, location: &str, clock: Arc<dyn Clock>) -> Result<Box<dyn Opened>> {
        match self {
            Self::Sqlite => open_sqlite(location, SqliteSync::Full, clock).await,
            Self::SqliteUnsynced => open_sqlite(location, SqliteSync::Off, clock).await,
            Self::Postgres => open_postgres(location, clock).await,
            Self::PostgresUnsynced => {
                let store = open_postgres(location, clock).await?;
                stop_syncing(location).await;
                Ok(store)
            }
        }
    }
}

async fn open_sqlite(
    folder: &str,
    sqlite_sync: SqliteSync,
    clock: Arc<dyn Clock>,
) -> Result<Box<dyn Opened>> {
    let options = SqlOptions {
        sqlite_sync,
        ..SqlOptions::default()
    };
    let path = Path::new(folder).join("store.db");
    let store = SqliteBackend::open(path.to_str().unwrap(), &options, clock).await?;
    Ok(Box::new(OnSqlite { store, path }))
}

async fn open_postgres(url: &str, clock: Arc<dyn Clock>) -> Result<Box<dyn Opened>> {
    let store = PostgresBackend::open(url, &SqlOptions::default(), clock).await?;
    Ok(Box::new(OnPostgres { store }))
}

/// Makes a running server trust the kernel from now on.
async fn stop_syncing(url: &str) {
    let mut server = sqlx::PgConnection::connect(url).await.unwrap();
    for sql in ["ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"] {
        sqlx::raw_sql(sql).execute(&mut server).await.unwrap();
    }
}

/// Copies a server's new data: making it takes longer than everything else of a cut.
fn copy_new_server(folder: &Path) -> Result<(), String> {
    static NEW: OnceLock<TempDir> = OnceLock::new();
    let new = NEW.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        Kind::Postgres.initialise(folder.path());
        folder
    });
    let mut copy = Command::new("cp");
    let copy = copy.arg("-a").arg(new.path().join("data")).arg(folder);
    match copy.status() {
        Ok(status) if status.success() => Ok(()),
        failed => Err(format!("{copy:?}: {failed:?}")),
    }
}

struct OnSqlite {
    store: SqliteBackend,
    path: PathBuf,
}

#[async_trait]
impl Opened for OnSqlite {
    fn backend(&self) -> &dyn StorageBackend {
        &self.store
    }

    async fn check(&self) -> Result<(), String> {
        let file = rusqlite::Connection::open(&self.path).map_err(|e| e.to_string())?;
        let found: String = file
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .map_err(|e| e.to_string())?;
        match found.as_str() {
            "ok" => Ok(()),
            _ => Err(format!("the file is damaged: {found}")),
        }
    }
}

struct OnPostgres {
    store: PostgresBackend,
}

#[async_trait]
impl Opened for OnPostgres {
    fn backend(&self) -> &dyn StorageBackend {
        &self.store
    }

    /// A server has no check of all of it; each of its indexes is read by the comparison.
    async fn check(&self) -> Result<(), String> {
        Ok(())
    }
}
