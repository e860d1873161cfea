mod follow;
mod session;
mod write;

use std::fmt;
use std::sync::Arc;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use storage_core::{Clock, Error, ErrorKind, Result};

pub(crate) use self::session::PostgresSession;
use self::session::failure;
#[cfg(test)]
pub(crate) use self::write::params as write_params;
use crate::SqlOptions;
use crate::server::{CONNECTIONS_MIN, Driver, Head, ServerStore, redacted, storage_backend};
use crate::store::dialect::{Dialect, KeySet, Parameters, Upsert};
use crate::store::failure::{Attempt, Failure};
use crate::store::schema;
use crate::store::session::Session;
use crate::store::statements::Statements;

pub(crate) const DIALECT: Dialect = Dialect {
    engine: "postgres",
    parameters: Parameters::Numbered,
    key_type: "BYTEA",
    value_type: "BYTEA",
    operation_type: "BYTEA",
    table: "",
    small_table: "",
    // Room in its page for the next versions of the row.
    hot_table: " WITH (fillfactor = 10)",
    upsert: Upsert::OnConflict,
    key_set: KeySet::Array,
    insert_rows_max: 64,
    for_update: " FOR UPDATE",
    force_index: None,
    unindexed: ("(", " || ''::bytea)"),
};

/// The schemes of its URLs.
const SCHEMES: [&str; 2] = ["postgres", "postgresql"];

/// The key of the advisory lock under which the schema is changed.
const MIGRATION_LOCK: i64 = 0x756e_6973_746f_7265;

/// A store in a PostgreSQL database, for any number of processes.
///
/// A commit is two statements: one that reads what the transactions name, and one that writes all
/// of it if the counter has not moved since. `NOTIFY` moves the head of the other processes.
pub struct PostgresBackend {
    store: ServerStore<PostgresDriver>,
}

impl PostgresBackend {
    /// Opens the store in the database that the URL names, and creates its tables if there are
    /// none. TLS is asked for by `sslmode` and `sslrootcert` in the URL.
    ///
    /// # Errors
    /// `Unavailable` if the server cannot be reached, `Unsupported` if a newer program has written
    /// the tables or the server's settings could lose what was acknowledged.
    pub async fn open(url: &str, options: &SqlOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let (url, location) = redacted(url, &SCHEMES)?;
        let connect = PgConnectOptions::from_url(&url)
            .map_err(|e| failure(e).into_error())?
            .application_name("unistore")
            .disable_statement_logging();
        let statements = Arc::new(Statements::new(&DIALECT));
        let mut driver = PostgresDriver::new(connect, options);
        driver.check_settings().await?;
        driver.migrate().await.map_err(Failure::into_error)?;
        driver.name_channel().await?;
        let start = ServerStore::start(driver, &DIALECT, statements, location, options, clock);
        Ok(Self {
            store: start.await?,
        })
    }
}

#[cfg(test)]
impl PostgresBackend {
    pub(crate) fn driver(&self) -> &PostgresDriver {
        self.store.driver()
    }
}

impl fmt::Debug for PostgresBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresBackend")
            .field("info", &self.store.info)
            .finish_non_exhaustive()
    }
}

storage_backend!(PostgresBackend);

/// The pool of connections. Not `Debug`: the pool's options hold the password.
pub(crate) struct PostgresDriver {
    pool: PgPool,
    options: SqlOptions,
    write_sql: crate::store::session::Sql,
    /// The channel on which the processes of this store tell each other of commits.
    channel: Arc<str>,
}

impl PostgresDriver {
    fn new(connect: PgConnectOptions, options: &SqlOptions) -> Self {
        let timeout_ms = options.request_timeout.as_millis();
        // Each statement has an index that serves it in order, and looks rows up by unique keys.
        // Before the server has looked at new tables it would think otherwise, and read and sort
        // all of them; and no plan of ours is worth compiling. A server where synchronous_commit
        // is off would acknowledge what it may lose.
        let set = format!(
            "SET statement_timeout = {timeout_ms}; \
             SET lock_timeout = {timeout_ms}; \
             SET idle_in_transaction_session_timeout = {timeout_ms}; \
             SET default_transaction_isolation = 'read committed'; \
             SET enable_seqscan = off; SET enable_bitmapscan = off; \
             SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; \
             SELECT set_config('synchronous_commit', 'on', false) \
                WHERE current_setting('synchronous_commit') = 'off'"
        );
        let set: Arc<str> = set.into();
        let pool = PgPoolOptions::new()
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
            write_sql: write::sql(&DIALECT),
            channel: "".into(),
        }
    }

    /// Refuses a server that could lose what it acknowledged.
    async fn check_settings(&self) -> Result<()> {
        let refuse = |why: &str| {
            let context = format!("the server {why}: it could lose acknowledged writes");
            Err(Error::new(ErrorKind::Unsupported, "open", context))
        };
        if self.setting("fsync").await? == "off" {
            return refuse("runs with fsync = off");
        }
        if self.setting("full_page_writes").await? == "off" {
            return refuse("runs with full_page_writes = off");
        }
        if self.setting("transaction_read_only").await? == "on" {
            let context = "the server takes no writes: it is a standby or read only";
            return Err(Error::new(ErrorKind::Unavailable, "open", context));
        }
        let default: String = self
            .text("SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit'")
            .await?;
        if default == "off" {
            tracing::warn!("the server has synchronous_commit = off: set to on for this program");
        }
        Ok(())
    }

    async fn setting(&self, name: &'static str) -> Result<String> {
        let select = sqlx::query_scalar("SELECT current_setting($1)").bind(name);
        let value = select.fetch_one(&self.pool).await;
        value.map_err(|e| failure(e).into_error())
    }

    async fn text(&self, select: &'static str) -> Result<String> {
        let value = sqlx::query_scalar(select).fetch_one(&self.pool).await;
        value.map_err(|e| failure(e).into_error())
    }

    /// Several processes may start at once: one of them changes the schema, the others wait.
    async fn migrate(&self) -> Attempt<()> {
        let mut session = self.acquire().await?;
        session.begin_write().await?;
        let lock = format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})");
        session.execute(&lock.into(), &[]).await?;
        schema::migrate(&mut session, &DIALECT).await?;
        session.end().await
    }

    /// Names the channel after the table, which no other store of the database has.
    async fn name_channel(&mut self) -> Result<()> {
        let select = "SELECT 'unistore_' || 'resource_version'::regclass::oid::text";
        self.channel = self.text(select).await?.into();
        Ok(())
    }
}

impl Driver for PostgresDriver {
    type Session = PostgresSession;

    async fn acquire(&self) -> Attempt<PostgresSession> {
        let connection = self.pool.acquire().await.map_err(failure)?;
        Ok(PostgresSession::new(connection, self))
    }

    async fn follow(self: Arc<Self>, head: Head, options: SqlOptions) {
        follow::follow(&self, &head, &options).await;
    }
}
