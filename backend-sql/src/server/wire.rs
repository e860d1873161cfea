use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Database, Either, Executor, IntoArguments};
use storage_core::{Error, ErrorKind};
use tokio::time::timeout;

use crate::store::failure::{Attempt, Failure, corrupt};
use crate::store::session::{EachRow, Param, Row, Sql};
use crate::store::state::State;

/// What differs between the drivers of the servers.
pub(crate) trait Server: Database<Row: Row, Arguments: IntoArguments<Self>> {
    /// The name of the engine.
    const ENGINE: &'static str;

    /// Returns parameters as the driver wants them.
    fn arguments(params: &[Param<'_>]) -> Attempt<Self::Arguments>;

    /// Returns how many rows a statement touched.
    fn rows_affected(result: &Self::QueryResult) -> u64;

    /// Says what an error of the driver means.
    fn failure(error: sqlx::Error) -> Failure;
}

/// A connection on which every answer has to come in time.
///
/// It goes back to the pool when it is dropped. In the middle of something, because that failed or
/// the caller went away, it is closed instead: the next one would read from a snapshot of then, or
/// wait for the rest of an answer that was read in part.
pub(crate) struct Wire<DB: Server> {
    connection: PoolConnection<DB>,
    timeout: Duration,
    /// What was asked last is not known to have been answered.
    is_waiting: bool,
    /// What was begun is not known to have ended.
    is_in_transaction: bool,
}

impl<DB: Server> Drop for Wire<DB> {
    fn drop(&mut self) {
        if self.is_waiting || self.is_in_transaction {
            self.connection.close_on_drop();
        }
    }
}

impl<DB: Server> Wire<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    pub(crate) const fn new(connection: PoolConnection<DB>, timeout: Duration) -> Self {
        Self {
            connection,
            timeout,
            is_waiting: false,
            is_in_transaction: false,
        }
    }

    /// Runs a statement that answers with rows.
    pub(crate) async fn query(
        &mut self,
        sql: &Sql,
        params: &[Param<'_>],
        each: EachRow<'_>,
    ) -> Attempt<()> {
        let query = sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), DB::arguments(params)?);
        let work = async {
            let mut rows = query.fetch(&mut *self.connection);
            while let Some(row) = rows.try_next().await.map_err(DB::failure)? {
                if each(&row)?.is_break() {
                    break;
                }
            }
            Ok(())
        };
        in_time::<DB, _>(self.timeout, &mut self.is_waiting, work).await
    }

    /// Runs a statement and returns how many rows it touched.
    pub(crate) async fn execute(&mut self, sql: &Sql, params: &[Param<'_>]) -> Attempt<u64> {
        let query = sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), DB::arguments(params)?);
        let work = async {
            let done = query.execute(&mut *self.connection).await;
            Ok(DB::rows_affected(&done.map_err(DB::failure)?))
        };
        in_time::<DB, _>(self.timeout, &mut self.is_waiting, work).await
    }

    /// Begins a transaction.
    pub(crate) async fn begin(&mut self, begin: &str) -> Attempt<()> {
        self.is_in_transaction = true;
        self.script(begin.into()).await
    }

    /// Ends a transaction, by statements without parameters in one exchange with the server.
    pub(crate) async fn end(&mut self, end: String) -> Attempt<()> {
        self.script(end).await?;
        self.is_in_transaction = false;
        Ok(())
    }

    async fn script(&mut self, sql: String) -> Attempt<()> {
        let mut ignore = |_: &dyn Row| Ok(ControlFlow::Continue(()));
        self.script_with_rows(sql, &mut ignore).await
    }

    /// Begins a transaction and reads the state, in one exchange with the server.
    pub(crate) async fn begin_with_state(&mut self, begin: &str, state: &Sql) -> Attempt<State> {
        self.is_in_transaction = true;
        let mut read = None;
        let mut each = |row: &dyn Row| {
            read = Some(State::of(row)?);
            Ok(ControlFlow::Continue(()))
        };
        self.script_with_rows(format!("{begin}; {state}"), &mut each)
            .await?;
        Ok(read.ok_or_else(|| corrupt("the revision counter is missing"))?)
    }

    async fn script_with_rows(&mut self, sql: String, each: EachRow<'_>) -> Attempt<()> {
        let work = async {
            let query = sqlx::raw_sql(AssertSqlSafe(sql));
            let mut answers = query.fetch_many(&mut *self.connection);
            while let Some(answer) = answers.try_next().await.map_err(DB::failure)? {
                if let Either::Right(row) = answer {
                    // The rest is read too: the end of the script must have come.
                    let _ = each(&row)?;
                }
            }
            Ok(())
        };
        in_time::<DB, _>(self.timeout, &mut self.is_waiting, work).await
    }

    /// Runs a statement and returns all its rows.
    #[cfg(test)]
    pub(crate) async fn rows(&mut self, sql: String, params: &[Param<'_>]) -> Vec<DB::Row> {
        let query = sqlx::query_with(AssertSqlSafe(sql), DB::arguments(params).unwrap());
        query.fetch_all(&mut *self.connection).await.unwrap()
    }
}

async fn in_time<DB: Server, T>(
    limit: Duration,
    is_waiting: &mut bool,
    work: impl Future<Output = Attempt<T>>,
) -> Attempt<T> {
    *is_waiting = true;
    let result = timeout(limit, work).await.unwrap_or_else(|_| {
        let context = "the database did not answer in time";
        let error = Error::new(ErrorKind::Unavailable, DB::ENGINE, context);
        Err(Failure::Lost(error))
    });
    *is_waiting = matches!(result, Err(Failure::Lost(_)));
    result
}

/// A column has another type than the schema gives it.
pub(crate) fn malformed(column: usize, source: sqlx::Error) -> Error {
    let context = format!("column {column} is not what it should be");
    Error::new(ErrorKind::Corrupt, "read", context).with_source(source)
}
