//! Stores of their own for each test.
#![allow(dead_code, reason = "each test program uses its share of it")]
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

#[cfg(feature = "sqlite")]
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
#[cfg(feature = "mysql")]
use backend_sql::MysqlBackend;
#[cfg(feature = "postgres")]
use backend_sql::PostgresBackend;
use backend_sql::SqlOptions;
#[cfg(feature = "sqlite")]
use backend_sql::SqliteBackend;
use conformance::{Declared, Harness};
#[cfg(any(feature = "postgres", feature = "mysql"))]
use sqlx::Connection;
use storage_core::{Clock, Result, StorageBackend};
#[cfg(feature = "sqlite")]
use tempfile::TempDir;
#[cfg(feature = "postgres")]
use tokio::sync::OnceCell;
use url::Url;

/// A store that SQL can be run on beside the backend.
#[async_trait]
pub(crate) trait Store: Harness + Default {
    /// Returns its URL.
    fn url(&self) -> String;

    /// Runs SQL on it.
    async fn sql(&self, sql: &str);
}

/// The variable with the URL of a PostgreSQL server where databases may be created.
pub(crate) const POSTGRES_VARIABLE: &str = "UNISTORE_TEST_POSTGRES";
/// The variable with the URL of a MySQL or MariaDB server where databases may be created.
pub(crate) const MYSQL_VARIABLE: &str = "UNISTORE_TEST_MYSQL";

/// How long the removal of a store may take.
#[cfg(any(feature = "postgres", feature = "mysql"))]
const REMOVE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

/// A store in a file of a folder of its own.
#[cfg(feature = "sqlite")]
#[derive(Debug)]
pub(crate) struct Sqlite {
    folder: TempDir,
}

#[cfg(feature = "sqlite")]
impl Default for Sqlite {
    fn default() -> Self {
        Self::new_in(&std::env::temp_dir())
    }
}

#[cfg(feature = "sqlite")]
impl Sqlite {
    pub(crate) fn new_in(folder: &Path) -> Self {
        let folder = TempDir::new_in(folder).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }
}

#[cfg(feature = "sqlite")]
#[async_trait]
impl Store for Sqlite {
    fn url(&self) -> String {
        format!("sqlite:{}", self.path().display())
    }

    async fn sql(&self, sql: &str) {
        let file = rusqlite::Connection::open(self.path()).unwrap();
        file.execute_batch(sql).unwrap();
    }
}

#[cfg(feature = "sqlite")]
#[async_trait]
impl Harness for Sqlite {
    async fn open(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn StorageBackend>> {
        let store = SqliteBackend::open(&self.url(), &SqlOptions::default(), clock).await?;
        Ok(Arc::new(store))
    }

    fn declared(&self) -> Declared {
        Declared::EMBEDDED
    }
}

/// A store in a schema of its own: a new database costs the server three hundred files.
#[cfg(feature = "postgres")]
#[derive(Debug)]
pub(crate) struct Postgres {
    server: String,
    schema: String,
    created: OnceCell<()>,
}

#[cfg(feature = "postgres")]
impl Default for Postgres {
    fn default() -> Self {
        Self {
            server: variable(POSTGRES_VARIABLE),
            schema: new_name(),
            created: OnceCell::new(),
        }
    }
}

#[cfg(feature = "postgres")]
impl Postgres {
    /// Creates the schema if it is not there.
    pub(crate) async fn create(&self) {
        let create = || self.run(format!("CREATE SCHEMA {}", self.schema));
        self.created.get_or_init(create).await;
    }

    async fn run(&self, sql: String) {
        let mut server = sqlx::PgConnection::connect(&self.server).await.unwrap();
        let run = sqlx::raw_sql(sqlx::AssertSqlSafe(sql));
        run.execute(&mut server).await.unwrap();
        server.close().await.unwrap();
    }
}

#[cfg(feature = "postgres")]
#[async_trait]
impl Store for Postgres {
    fn url(&self) -> String {
        let mut url = Url::parse(&self.server).unwrap();
        url.query_pairs_mut()
            .append_pair("options[search_path]", &self.schema);
        url.into()
    }

    async fn sql(&self, sql: &str) {
        let mut database = sqlx::PgConnection::connect(&self.url()).await.unwrap();
        let run = sqlx::raw_sql(sqlx::AssertSqlSafe(sql));
        run.execute(&mut database).await.unwrap();
        database.close().await.unwrap();
    }
}

#[cfg(feature = "postgres")]
#[async_trait]
impl Harness for Postgres {
    async fn open(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn StorageBackend>> {
        self.create().await;
        let store = PostgresBackend::open(&self.url(), &options(), clock).await?;
        Ok(Arc::new(store))
    }

    fn declared(&self) -> Declared {
        Declared::SHARED
    }

    async fn remove(&self) {
        let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema);
        removed(self.run(drop)).await;
    }
}

/// A store in a database of its own.
#[cfg(feature = "mysql")]
#[derive(Debug)]
pub(crate) struct Mysql {
    server: String,
    database: String,
}

#[cfg(feature = "mysql")]
impl Default for Mysql {
    fn default() -> Self {
        Self {
            server: variable(MYSQL_VARIABLE),
            database: new_name(),
        }
    }
}

#[cfg(feature = "mysql")]
impl Mysql {
    /// Creates the database if it is not there.
    pub(crate) async fn create(&self) {
        self.run(format!("CREATE DATABASE IF NOT EXISTS {}", self.database))
            .await;
    }

    async fn run(&self, sql: String) {
        let mut server = sqlx::MySqlConnection::connect(&self.server).await.unwrap();
        let run = sqlx::raw_sql(sqlx::AssertSqlSafe(sql));
        run.execute(&mut server).await.unwrap();
        server.close().await.unwrap();
    }
}

#[cfg(feature = "mysql")]
#[async_trait]
impl Store for Mysql {
    fn url(&self) -> String {
        let mut url = Url::parse(&self.server).unwrap();
        url.set_path(&self.database);
        url.into()
    }

    async fn sql(&self, sql: &str) {
        let mut database = sqlx::MySqlConnection::connect(&self.url()).await.unwrap();
        let run = sqlx::raw_sql(sqlx::AssertSqlSafe(sql));
        run.execute(&mut database).await.unwrap();
        database.close().await.unwrap();
    }
}

#[cfg(feature = "mysql")]
#[async_trait]
impl Harness for Mysql {
    async fn open(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn StorageBackend>> {
        self.create().await;
        let store = MysqlBackend::open(&self.url(), &options(), clock).await?;
        Ok(Arc::new(store))
    }

    fn declared(&self) -> Declared {
        Declared::SHARED
    }

    async fn remove(&self) {
        let drop = format!("DROP DATABASE IF EXISTS {}", self.database);
        removed(self.run(drop)).await;
    }
}

/// Waits until a store is removed, which nothing holds up but a transaction that was left open.
#[cfg(any(feature = "postgres", feature = "mysql"))]
async fn removed(drop: impl Future<Output = ()>) {
    let in_time = tokio::time::timeout(REMOVE_TIMEOUT, drop).await;
    in_time.expect("no transaction of the store is open any more");
}

/// Opens the store of a server's URL.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(crate) async fn open_url(
    url: &str,
    options: &SqlOptions,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn StorageBackend>> {
    match url.split(':').next() {
        #[cfg(feature = "postgres")]
        Some("postgres") => Ok(Arc::new(PostgresBackend::open(url, options, clock).await?)),
        #[cfg(feature = "mysql")]
        Some("mysql") => Ok(Arc::new(MysqlBackend::open(url, options, clock).await?)),
        scheme => panic!("{scheme:?} is not the scheme of a server"),
    }
}

/// Few connections: many tests share one server.
pub(crate) fn options() -> SqlOptions {
    SqlOptions {
        connections_max: 8,
        ..SqlOptions::default()
    }
}

/// Returns the URL in a variable. A test without its server fails, it is not skipped.
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`, which sets it"))
}

/// Returns a name that no other test uses.
fn new_name() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("unistore_test_{}_{number}", std::process::id())
}
