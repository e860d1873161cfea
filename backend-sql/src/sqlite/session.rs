use std::future::{Future, ready};
use std::ops::ControlFlow;

use futures::FutureExt;
use rusqlite::{Connection, ErrorCode};
use storage_core::{Error, ErrorKind, Result};

use crate::store::failure::{Attempt, Failure};
use crate::store::session::{EachRow, Param, Row, Session, Sql};
use crate::store::state::State;

/// A connection to the file. Its futures are ready when they are made.
pub(crate) struct SqliteSession<'a> {
    pub(crate) connection: &'a mut Connection,
}

impl SqliteSession<'_> {
    fn batch(&self, sql: &str) -> impl Future<Output = Attempt<()>> + use<> {
        ready(self.connection.execute_batch(sql).map_err(failure))
    }
}

impl Session for SqliteSession<'_> {
    fn query(
        &mut self,
        sql: &Sql,
        params: &[Param<'_>],
        each: EachRow<'_>,
    ) -> impl Future<Output = Attempt<()>> + Send {
        ready(query(self.connection, sql, params, each))
    }

    fn execute(
        &mut self,
        sql: &Sql,
        params: &[Param<'_>],
    ) -> impl Future<Output = Attempt<u64>> + Send {
        ready(execute(self.connection, sql, params))
    }

    async fn begin_snapshot(&mut self, state: &Sql) -> Attempt<State> {
        self.batch("BEGIN").await?;
        State::read(self, state).await
    }

    fn begin_write(&mut self) -> impl Future<Output = Attempt<()>> + Send {
        self.batch("BEGIN IMMEDIATE")
    }

    fn end(&mut self) -> impl Future<Output = Attempt<()>> + Send {
        self.batch("COMMIT")
    }
}

/// Returns the result of work on a [`SqliteSession`], which never waits.
pub(super) fn run<T>(work: impl Future<Output = Attempt<T>>) -> Attempt<T> {
    let waits = || Error::new(ErrorKind::Internal, "run", "work on SQLite waits");
    work.now_or_never().unwrap_or_else(|| Err(waits().into()))
}

/// Ends what a failed piece of work left open.
pub(super) fn roll_back(connection: &Connection) {
    if !connection.is_autocommit() {
        // If this fails too, the next piece of work fails, and says why.
        let _ = connection.execute_batch("ROLLBACK");
    }
}

fn query(
    connection: &Connection,
    sql: &str,
    params: &[Param<'_>],
    each: EachRow<'_>,
) -> Attempt<()> {
    let mut statement = connection.prepare_cached(sql).map_err(failure)?;
    bind(&mut statement, params)?;
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(failure)? {
        match each(row)? {
            ControlFlow::Continue(()) => {}
            ControlFlow::Break(()) => break,
        }
    }
    Ok(())
}

fn execute(connection: &Connection, sql: &str, params: &[Param<'_>]) -> Attempt<u64> {
    let mut statement = connection.prepare_cached(sql).map_err(failure)?;
    bind(&mut statement, params)?;
    let rows = statement.raw_execute().map_err(failure)?;
    Ok(rows as u64)
}

fn bind(statement: &mut rusqlite::CachedStatement<'_>, params: &[Param<'_>]) -> Attempt<()> {
    for (index, param) in (1..).zip(params) {
        match param {
            Param::Int(number) => statement.raw_bind_parameter(index, number),
            Param::Bytes(bytes) => statement.raw_bind_parameter(index, bytes),
            Param::Ints(_) | Param::ByteStrings(_) | Param::Text(_) => {
                let context = "this dialect has no arrays and no texts";
                return Err(Error::new(ErrorKind::Internal, "run", context).into());
            }
        }
        .map_err(failure)?;
    }
    Ok(())
}

impl Row for rusqlite::Row<'_> {
    fn int(&self, column: usize) -> Result<i64> {
        self.get_ref(column)
            .and_then(|value| Ok(value.as_i64()?))
            .map_err(|e| malformed(column, e))
    }

    fn bytes(&self, column: usize) -> Result<Option<&[u8]>> {
        self.get_ref(column)
            .and_then(|value| Ok(value.as_bytes_or_null()?))
            .map_err(|e| malformed(column, e))
    }
}

fn malformed(column: usize, source: rusqlite::Error) -> Error {
    let context = format!("column {column} is not what it should be");
    Error::new(ErrorKind::Corrupt, "read", context).with_source(source)
}

/// Says what an error of SQLite means.
pub(super) fn failure(error: rusqlite::Error) -> Failure {
    let refused = |kind, context: &'static str, error: rusqlite::Error| {
        Failure::Refused(Error::new(kind, "sqlite", context).with_source(error))
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            let context = "another program holds a lock on the file";
            Failure::Contention(
                Error::new(ErrorKind::Unavailable, "sqlite", context).with_source(error),
            )
        }
        // What was written may or may not be in the file.
        Some(ErrorCode::SystemIoFailure) => {
            let context = "reading or writing the file failed";
            Failure::Lost(Error::new(ErrorKind::Unavailable, "sqlite", context).with_source(error))
        }
        Some(ErrorCode::DiskFull) => refused(ErrorKind::Unavailable, "the disk is full", error),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => refused(
            ErrorKind::Unavailable,
            "the file cannot be opened to write",
            error,
        ),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => refused(
            ErrorKind::Corrupt,
            "the file is not a sound database",
            error,
        ),
        _ => refused(ErrorKind::Internal, "a statement failed", error),
    }
}
