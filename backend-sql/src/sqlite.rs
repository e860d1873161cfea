mod file;
mod readers;
mod session;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use storage_core::{
    BackendInfo, Changes, ChangesQuery, Clock, Compacted, Durability, ListQuery, Outcome, Page,
    ResourceKey, ResourceStats, Result, Retention, Revision, Scope, Sharing, StorageBackend,
    Stored, Transaction,
};
use tokio::sync::watch;

use self::file::LockedFile;
use self::readers::{Read, Readers};
#[cfg(test)]
pub(crate) use self::session::SqliteSession;
use self::writer::Writer;
use crate::SqlOptions;
use crate::store::changes::ReadChanges;
use crate::store::compact::Compaction;
use crate::store::dialect::{Dialect, KeySet, Parameters, Upsert};
use crate::store::get::Get;
use crate::store::list::List;
use crate::store::statements::Statements;
use crate::store::stats::Stats;

pub(crate) const DIALECT: Dialect = Dialect {
    engine: "sqlite",
    parameters: Parameters::Question,
    key_type: "BLOB",
    value_type: "BLOB",
    operation_type: "BLOB",
    table: "",
    small_table: " WITHOUT ROWID",
    hot_table: "",
    upsert: Upsert::OnConflict,
    key_set: KeySet::List(&[1, 8, 16, 32, 48, 64, 72, 96, 128, 192, 256]),
    // The engine is in the process: a statement per row costs no more than one for many.
    insert_rows_max: 1,
    for_update: "",
    force_index: None,
    unindexed: ("+", ""),
};

/// A store in one SQLite file, for one process.
///
/// One thread writes, a few connections read beside it. The file is in WAL mode with
/// `synchronous=FULL`: what was acknowledged survives a loss of power. A second open of the file,
/// from whatever process, is refused; other programs may read it.
pub struct SqliteBackend {
    info: BackendInfo,
    clock: Arc<dyn Clock>,
    statements: Arc<Statements>,
    readers: Arc<Readers>,
    // The last: the readers are gone and the writer has ended when the file is unlocked.
    writer: Writer,
}

impl SqliteBackend {
    /// Opens the store in a file and creates it if there is none. `location` is a path, with or
    /// without `sqlite:` before it.
    ///
    /// # Errors
    /// `Unavailable` if the file cannot be opened or is open elsewhere, `Unsupported` if a newer
    /// program has written it, `Corrupt` if it is not a store.
    pub async fn open(location: &str, options: &SqlOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let path = file::path(location)?;
        let options = options.clone();
        let opening =
            tokio::task::spawn_blocking(move || Self::open_blocking(&path, &options, clock));
        opening
            .await
            .map_err(|e| file::unavailable("the start was broken off", e))?
    }

    fn open_blocking(path: &Path, options: &SqlOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let statements = Arc::new(Statements::new(&DIALECT));
        let file = LockedFile::open(path, options)?;
        let readers = Readers::open(&file, options)?;
        let writer = Writer::start(file, Arc::clone(&statements), Arc::clone(&clock), options)?;
        Ok(Self {
            info: BackendInfo {
                engine: DIALECT.engine,
                location: format!("sqlite:{}", path.display()),
                durability: Durability::Durable,
                sharing: Sharing::OneProcess,
            },
            clock,
            statements,
            readers: Arc::new(readers),
            writer,
        })
    }

    async fn read<R: Read>(&self, operation: &'static str, read: R) -> Result<R::Output> {
        let readers = Arc::clone(&self.readers);
        let statements = Arc::clone(&self.statements);
        self.writer.healthy(operation)?;
        readers.run(statements, read).await
    }
}

impl fmt::Debug for SqliteBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteBackend")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl StorageBackend for SqliteBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>> {
        Transaction::validate_all(&transactions)?;
        self.writer.commit(transactions).await
    }

    async fn get(&self, key: &ResourceKey, at: Option<Revision>) -> Result<Option<Stored>> {
        let key = key.clone();
        let get = Get { key, at };
        get.validate()?;
        self.read("get", get).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page> {
        query.validate()?;
        let query = query.clone();
        self.read("list", List { query }).await
    }

    async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        query.validate()?;
        let query = query.clone();
        self.read("changes", ReadChanges { query }).await
    }

    async fn compact(&self, policy: &Retention) -> Result<Compacted> {
        let mut compaction = Compaction::new(policy.clone(), self.clock.now())?;
        loop {
            compaction = self.writer.compact(compaction).await?;
            if let Some(compacted) = compaction.result() {
                return Ok(compacted);
            }
        }
    }

    async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        let scope = scope.clone();
        let stats = Stats { scope };
        stats.validate()?;
        self.read("stats", stats).await
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.writer.head()
    }
}
