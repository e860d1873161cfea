mod follow;
mod server;
mod session;

use std::fmt;
use std::sync::Arc;

use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};
use storage_core::{Clock, Result};

pub(crate) use self::session::MysqlSession;
use self::session::failure;
use crate::SqlOptions;
use crate::server::{CONNECTIONS_MIN, Driver, Head, ServerStore, redacted, storage_backend};
use crate::store::dialect::{Dialect, KeySet, Parameters, Upsert};
use crate::store::failure::{Attempt, Failure};
use crate::store::statements::Statements;

pub(crate) const DIALECT: Dialect = Dialect {
    engine: "mysql",
    parameters: Parameters::Question,
    // Binary: no collation, no padding. Longest key as in `store::key`.
    key_type: "VARBINARY(1015)",
    value_type: "LONGBLOB",
    operation_type: "BINARY(16)",
    table: " ENGINE = InnoDB ROW_FORMAT = DYNAMIC",
    small_table: " ENGINE = InnoDB ROW_FORMAT = DYNAMIC",
    hot_table: " ENGINE = InnoDB ROW_FORMAT = DYNAMIC",
    upsert: Upsert::OnDuplicateKey,
    key_set: KeySet::List(&[1, 4, 8, 16, 24, 32, 40, 48, 56, 64, 96, 128, 192, 256]),
    insert_rows_max: 64,
    for_update: " FOR UPDATE",
    force_index: Some((" FORCE INDEX (", ")")),
    unindexed: ("", ""),
};

/// The schemes of its URLs.
const SCHEMES: [&str; 2] = ["mysql", "mariadb"];

/// A store in a MySQL or MariaDB database, for any number of processes.
///
/// The server tells nobody of a commit, so the head of other processes is asked for: every few
/// milliseconds while things happen, once in a second when nothing does.
pub struct MysqlBackend {
    store: ServerStore<MysqlDriver>,
}

impl MysqlBackend {
    /// Opens the store in the database that the URL names, and creates its tables if there are
    /// none. TLS is asked for by `ssl-mode` and `ssl-ca` in the URL.
    ///
    /// # Errors
    /// `Unavailable` if the server cannot be reached, `Unsupported` if a newer program has written
    /// the tables or the server's settings could lose what was acknowledged.
    pub async fn open(url: &str, options: &SqlOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let (url, location) = redacted(url, &SCHEMES)?;
        let connect = MySqlConnectOptions::from_url(&url)
            .map_err(|e| failure(e).into_error())?
            .disable_statement_logging();
        let statements = Arc::new(Statements::new(&DIALECT));
        let driver = MysqlDriver::new(connect, options, Arc::clone(&statements));
        server::check_settings(&driver.pool).await?;
        server::migrate(&driver)
            .await
            .map_err(Failure::into_error)?;
        let start = ServerStore::start(driver, &DIALECT, statements, location, options, clock);
        Ok(Self {
            store: start.await?,
        })
    }
}

#[cfg(test)]
impl MysqlBackend {
    pub(crate) fn driver(&self) -> &MysqlDriver {
        self.store.driver()
    }
}

impl fmt::Debug for MysqlBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlBackend")
            .field("info", &self.store.info)
            .finish_non_exhaustive()
    }
}

storage_backend!(MysqlBackend);

/// The pool of connections. Not `Debug`: the pool's options hold the password.
pub(crate) struct MysqlDriver {
    pool: MySqlPool,
    options: SqlOptions,
    statements: Arc<Statements>,
}

impl MysqlDriver {
    fn new(
        connect: MySqlConnectOptions,
        options: &SqlOptions,
        statements: Arc<Statements>,
    ) -> Self {
        let set = server::session_settings(options);
        let pool = MySqlPoolOptions::new()
            .max_connections(options.connections_max.max(CONNECTIONS_MIN))
            .acquire_timeout(options.acquire_timeout)
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                let set = sqlx::AssertSqlSafe(Arc::clone(&set));
                Box::pin(async move {
                    sqlx::raw_sql(set).execute(connection).await?;
                    Ok(())
                })
            })
            .connect_lazy_with(connect);
        Self {
            pool,
            options: options.clone(),
            statements,
        }
    }
}

impl Driver for MysqlDriver {
    type Session = MysqlSession;

    async fn acquire(&self) -> Attempt<MysqlSession> {
        let connection = self.pool.acquire().await.map_err(failure)?;
        Ok(MysqlSession::new(connection, self))
    }

    async fn follow(self: Arc<Self>, head: Head, options: SqlOptions) {
        follow::follow(&*self, &head, &options).await;
    }
}
