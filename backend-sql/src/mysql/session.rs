use std::sync::Arc;

use sqlx::mysql::{MySqlArguments, MySqlDatabaseError, MySqlQueryResult, MySqlRow};
use sqlx::pool::PoolConnection;
use sqlx::{Arguments, MySql, Row as _};
use storage_core::{Error, ErrorKind, Result};

use super::MysqlDriver;
use crate::server::{Server, ServerSession, Wire, malformed};
use crate::store::apply::apply;
use crate::store::failure::{Attempt, Failure};
use crate::store::plan::Plan;
use crate::store::session::{EachRow, Param, Row, Session, Sql};
use crate::store::state::State;
use crate::store::statements::Statements;

/// A connection to MySQL or MariaDB.
pub(crate) struct MysqlSession {
    pub(crate) wire: Wire<MySql>,
    statements: Arc<Statements>,
    /// Statements about the counter that go to the server together with the `COMMIT`.
    last_words: String,
}

impl MysqlSession {
    pub(super) fn new(connection: PoolConnection<MySql>, driver: &MysqlDriver) -> Self {
        Self {
            wire: Wire::new(connection, driver.options.request_timeout),
            statements: Arc::clone(&driver.statements),
            last_words: String::new(),
        }
    }
}

impl Session for MysqlSession {
    async fn query(&mut self, sql: &Sql, params: &[Param<'_>], each: EachRow<'_>) -> Attempt<()> {
        self.wire.query(sql, params, each).await
    }

    async fn execute(&mut self, sql: &Sql, params: &[Param<'_>]) -> Attempt<u64> {
        self.wire.execute(sql, params).await
    }

    async fn begin_snapshot(&mut self, state: &Sql) -> Attempt<State> {
        let begin = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; \
            START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
        self.wire.begin_with_state(begin, state).await
    }

    async fn begin_write(&mut self) -> Attempt<()> {
        self.wire.begin("START TRANSACTION").await
    }

    async fn end(&mut self) -> Attempt<()> {
        let mut script = std::mem::take(&mut self.last_words);
        script.push_str("COMMIT");
        self.wire.end(script).await
    }
}

impl ServerSession for MysqlSession {
    const WRITES_WITHOUT_LOCK: bool = false;

    async fn lock(&mut self, lock_state: &Sql) -> Attempt<State> {
        self.wire
            .begin_with_state("START TRANSACTION", lock_state)
            .await
    }

    /// The counter is locked, so it has not moved.
    async fn write(&mut self, plan: &Plan, writer: i64) -> Attempt<bool> {
        let statements = Arc::clone(&self.statements);
        apply(self, &statements, plan).await?;
        let (head, changes) = (plan.head, plan.history.len());
        self.last_words = format!(
            "UPDATE resource_version SET resource_version = {head}, changes = changes + {changes} \
                WHERE id = 1; \
             UPDATE resource_writer SET resource_version = {head} WHERE id = {writer}; "
        );
        Ok(true)
    }
}

impl Server for MySql {
    const ENGINE: &'static str = "mysql";

    fn arguments(params: &[Param<'_>]) -> Attempt<MySqlArguments> {
        arguments(params)
    }

    fn rows_affected(result: &MySqlQueryResult) -> u64 {
        result.rows_affected()
    }

    fn failure(error: sqlx::Error) -> Failure {
        failure(error)
    }
}

impl Row for MySqlRow {
    fn int(&self, column: usize) -> Result<i64> {
        self.try_get(column).map_err(|e| malformed(column, e))
    }

    fn bytes(&self, column: usize) -> Result<Option<&[u8]>> {
        self.try_get(column).map_err(|e| malformed(column, e))
    }
}

fn arguments(params: &[Param<'_>]) -> Attempt<MySqlArguments> {
    let mut arguments = MySqlArguments::default();
    for param in params {
        match param {
            Param::Int(number) => arguments.add(number),
            Param::Bytes(bytes) => arguments.add(bytes),
            Param::Ints(_) | Param::ByteStrings(_) | Param::Text(_) => {
                let context = "this dialect has no arrays and no texts";
                return Err(Error::new(ErrorKind::Internal, "run", context).into());
            }
        }
        .map_err(|e| failure(sqlx::Error::Encode(e)))?;
    }
    Ok(arguments)
}

/// Says what an error of the driver means.
pub(super) fn failure(error: sqlx::Error) -> Failure {
    let number = error
        .as_database_error()
        .and_then(|e| e.try_downcast_ref::<MySqlDatabaseError>())
        .map(MySqlDatabaseError::number);
    let (wrap, kind, context): (fn(Error) -> Failure, _, _) = match (&error, number) {
        // Deadlock, lock timeout, changed since the snapshot, query killed or timed out.
        (_, Some(1213 | 1205 | 1020 | 1317 | 1969 | 3024)) => (
            Failure::Contention,
            ErrorKind::Unavailable,
            "the database gave up on the attempt",
        ),
        (_, Some(1040 | 1203)) => (
            Failure::Contention,
            ErrorKind::Overloaded,
            "the database has no connection left",
        ),
        (_, Some(1044 | 1045 | 1698)) => (
            Failure::Refused,
            ErrorKind::Unavailable,
            "the database refused the login",
        ),
        (_, Some(1049)) => (
            Failure::Refused,
            ErrorKind::Unavailable,
            "the database does not exist",
        ),
        (_, Some(1021 | 1037 | 1041 | 1114)) => (
            Failure::Refused,
            ErrorKind::Unavailable,
            "the database is out of resources",
        ),
        // The server goes down, fails over, or ended this connection.
        (_, Some(1053 | 1077 | 1079 | 1080 | 1290 | 1836 | 1927 | 3169 | 4031)) => (
            Failure::Lost,
            ErrorKind::Unavailable,
            "the database ended the connection",
        ),
        (_, Some(_)) => (
            Failure::Refused,
            ErrorKind::Internal,
            "the database refused a statement",
        ),
        (sqlx::Error::PoolTimedOut, None) => (
            Failure::Refused,
            ErrorKind::Unavailable,
            "no connection to the database in time",
        ),
        (sqlx::Error::Configuration(_) | sqlx::Error::InvalidArgument(_), None) => {
            (Failure::Refused, ErrorKind::Invalid, "the URL is refused")
        }
        (sqlx::Error::Tls(_), None) => (
            Failure::Refused,
            ErrorKind::Unavailable,
            "no TLS with the database",
        ),
        (sqlx::Error::Encode(_) | sqlx::Error::Decode(_), None) => (
            Failure::Refused,
            ErrorKind::Internal,
            "a value cannot be sent or read",
        ),
        (_, None) => (
            Failure::Lost,
            ErrorKind::Unavailable,
            "the connection to the database broke",
        ),
    };
    wrap(Error::new(kind, "mysql", context).with_source(error))
}
