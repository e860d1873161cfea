use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow};
use sqlx::{Arguments, Column, Postgres, Row as _, TypeInfo};
use storage_core::{Error, ErrorKind, Result};

use super::PostgresDriver;
use crate::server::{Server, ServerSession, Wire, malformed};
use crate::store::failure::{Attempt, Failure};
use crate::store::plan::Plan;
use crate::store::session::{EachRow, Param, Row, Session, Sql};
use crate::store::state::State;

/// A connection to PostgreSQL.
pub(crate) struct PostgresSession {
    pub(crate) wire: Wire<Postgres>,
    pub(crate) write_sql: Sql,
    pub(super) channel: Arc<str>,
}

impl PostgresSession {
    pub(super) fn new(connection: PoolConnection<Postgres>, driver: &PostgresDriver) -> Self {
        Self {
            wire: Wire::new(connection, driver.options.request_timeout),
            write_sql: Arc::clone(&driver.write_sql),
            channel: Arc::clone(&driver.channel),
        }
    }
}

impl Session for PostgresSession {
    async fn query(&mut self, sql: &Sql, params: &[Param<'_>], each: EachRow<'_>) -> Attempt<()> {
        self.wire.query(sql, params, each).await
    }

    async fn execute(&mut self, sql: &Sql, params: &[Param<'_>]) -> Attempt<u64> {
        self.wire.execute(sql, params).await
    }

    async fn begin_snapshot(&mut self, state: &Sql) -> Attempt<State> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        self.wire.begin_with_state(begin, state).await
    }

    async fn begin_write(&mut self) -> Attempt<()> {
        self.wire.begin("BEGIN").await
    }

    async fn end(&mut self) -> Attempt<()> {
        self.wire.end("COMMIT".into()).await
    }
}

impl ServerSession for PostgresSession {
    const WRITES_WITHOUT_LOCK: bool = true;

    async fn lock(&mut self, lock_state: &Sql) -> Attempt<State> {
        self.wire.begin_with_state("BEGIN", lock_state).await
    }

    async fn write(&mut self, plan: &Plan, writer: i64) -> Attempt<bool> {
        super::write::write(self, plan, writer).await
    }
}

impl Server for Postgres {
    const ENGINE: &'static str = "postgres";

    fn arguments(params: &[Param<'_>]) -> Attempt<PgArguments> {
        arguments(params)
    }

    fn rows_affected(result: &PgQueryResult) -> u64 {
        result.rows_affected()
    }

    fn failure(error: sqlx::Error) -> Failure {
        failure(error)
    }
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
