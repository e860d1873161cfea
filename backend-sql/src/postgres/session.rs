use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments, AssertSqlSafe, Column, Either, Postgres, Row as _, TypeInfo};
use storage_core::{Error, ErrorKind, Result};
use tokio::time::timeout;

use super::PostgresDriver;
use crate::server::ServerSession;
use crate::store::failure::{Attempt, Failure, corrupt};
use crate::store::plan::Plan;
use crate::store::session::{EachRow, Param, Row, Session, Sql};
use crate::store::state::State;

/// A connection to PostgreSQL.
pub(crate) struct PostgresSession {
    connection: PoolConnection<Postgres>,
    timeout: Duration,
    pub(crate) write_sql: Sql,
    pub(super) channel: Arc<str>,
}

impl PostgresSession {
    pub(super) fn new(connection: PoolConnection<Postgres>, driver: &PostgresDriver) -> Self {
        Self {
            connection,
            timeout: driver.options.request_timeout,
            write_sql: Arc::clone(&driver.write_sql),
            channel: Arc::clone(&driver.channel),
        }
    }

    /// Runs statements without parameters in one exchange with the server.
    async fn script(&mut self, sql: String, each: EachRow<'_>) -> Attempt<()> {
        let limit = self.timeout;
        let work = async {
            let query = sqlx::raw_sql(AssertSqlSafe(sql));
            let mut answers = query.fetch_many(&mut *self.connection);
            while let Some(answer) = answers.try_next().await.map_err(failure)? {
                if let Either::Right(row) = answer {
                    // The rest is read too: the end of the script must have come.
                    let _ = each(&row)?;
                }
            }
            Ok(())
        };
        timeout(limit, work).await.map_err(|_| too_slow())?
    }

    /// Runs a statement and returns all its rows.
    #[cfg(test)]
    pub(crate) async fn rows(&mut self, sql: String, params: &[Param<'_>]) -> Vec<PgRow> {
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments(params).unwrap());
        query.fetch_all(&mut *self.connection).await.unwrap()
    }

    async fn state_after(&mut self, begin: &str, state: &Sql) -> Attempt<State> {
        let mut read = None;
        let script = format!("{begin}; {state}");
        self.script(script, &mut |row| {
            read = Some(State::of(row)?);
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        Ok(read.ok_or_else(|| corrupt("the revision counter is missing"))?)
    }
}

impl Session for PostgresSession {
    async fn query(&mut self, sql: &Sql, params: &[Param<'_>], each: EachRow<'_>) -> Attempt<()> {
        let limit = self.timeout;
        let query = sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), arguments(params)?);
        let work = async {
            let mut rows = query.fetch(&mut *self.connection);
            while let Some(row) = rows.try_next().await.map_err(failure)? {
                if each(&row)?.is_break() {
                    break;
                }
            }
            Ok(())
        };
        timeout(limit, work).await.map_err(|_| too_slow())?
    }

    async fn execute(&mut self, sql: &Sql, params: &[Param<'_>]) -> Attempt<u64> {
        let query = sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), arguments(params)?);
        let work = query.execute(&mut *self.connection);
        let done = timeout(self.timeout, work).await.map_err(|_| too_slow())?;
        Ok(done.map_err(failure)?.rows_affected())
    }

    async fn begin_snapshot(&mut self, state: &Sql) -> Attempt<State> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        self.state_after(begin, state).await
    }

    async fn begin_write(&mut self) -> Attempt<()> {
        self.script("BEGIN".into(), &mut ignore).await
    }

    async fn end(&mut self) -> Attempt<()> {
        self.script("COMMIT".into(), &mut ignore).await
    }
}

impl ServerSession for PostgresSession {
    const ATTEMPTS_WITHOUT_LOCK: u32 = 3;

    async fn lock(&mut self, lock_state: &Sql) -> Attempt<State> {
        self.state_after("BEGIN", lock_state).await
    }

    async fn write(&mut self, plan: &Plan, writer: i64) -> Attempt<bool> {
        super::write::write(self, plan, writer).await
    }

    async fn abandon(mut self) {
        // Not back to the pool: a transaction may be open, or an answer half read.
        self.connection.close_on_drop();
    }
}

fn ignore(_: &dyn Row) -> Result<ControlFlow<()>> {
    Ok(ControlFlow::Continue(()))
}

fn arguments(params: &[Param<'_>]) -> Attempt<PgArguments> {
    let mut arguments = PgArguments::default();
    for param in params {
        match param {
            Param::Int(number) => arguments.add(number),
            Param::Bytes(bytes) => arguments.add(bytes),
            Param::Ints(numbers) => arguments.add(numbers),
            Param::ByteStrings(strings) => arguments.add(strings),
            Param::Text(text) => arguments.add(text),
        }
        .map_err(|e| failure(sqlx::Error::Encode(e)))?;
    }
    Ok(arguments)
}

impl Row for PgRow {
    fn int(&self, column: usize) -> Result<i64> {
        // Literals in a statement are of a smaller type than columns.
        let is_small = self.column(column).type_info().name() == "INT4";
        if is_small {
            let number: Result<i32, _> = self.try_get(column);
            return number.map(i64::from).map_err(|e| malformed(column, e));
        }
        self.try_get(column).map_err(|e| malformed(column, e))
    }

    fn bytes(&self, column: usize) -> Result<Option<&[u8]>> {
        self.try_get(column).map_err(|e| malformed(column, e))
    }
}

fn malformed(column: usize, source: sqlx::Error) -> Error {
    let context = format!("column {column} is not what it should be");
    Error::new(ErrorKind::Corrupt, "read", context).with_source(source)
}

fn too_slow() -> Failure {
    let context = "the database did not answer in time";
    Failure::Lost(Error::new(ErrorKind::Unavailable, "postgres", context))
}

/// Says what an error of the driver means.
pub(super) fn failure(error: sqlx::Error) -> Failure {
    let code = error
        .as_database_error()
        .and_then(|e| e.code())
        .map(|code| code.into_owned());
    let (wrap, kind, context): (fn(Error) -> Failure, _, _) = match (&error, code.as_deref()) {
        (_, Some("40001" | "40P01" | "55P03" | "57014")) => (
            Failure::Contention,
            ErrorKind::Unavailable,
            "the database gave up on the attempt",
        ),
        (_, Some("53300")) => (
            Failure::Contention,
            ErrorKind::Overloaded,
            "the database has no connection left",
        ),
        (_, Some(code)) if code.starts_with("28") => (
            Failure::Refused,
            ErrorKind::Unavailable,
            "the database refused the login",
        ),
        (_, Some("3D000")) => (
            Failure::Refused,
            ErrorKind::Unavailable,
            "the database does not exist",
        ),
        (_, Some(code)) if code.starts_with("53") => (
            Failure::Refused,
            ErrorKind::Unavailable,
            "the database is out of resources",
        ),
        // The server goes down, comes up, fails over, or ended this connection.
        (_, Some(code))
            if ["57P", "08", "25P03", "25006"]
                .iter()
                .any(|c| code.starts_with(c)) =>
        {
            (
                Failure::Lost,
                ErrorKind::Unavailable,
                "the database ended the connection",
            )
        }
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
    wrap(Error::new(kind, "postgres", context).with_source(error))
}
