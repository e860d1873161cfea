use std::ops::ControlFlow;
use std::sync::Arc;

use storage_core::Result;

use super::failure::Attempt;
use super::state::State;

/// The text of a statement.
pub(crate) type Sql = Arc<str>;

/// A parameter of a statement.
#[derive(Clone, Debug)]
pub(crate) enum Param<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    /// Only where the dialect has arrays.
    Ints(Vec<i64>),
    /// Only where the dialect has arrays.
    ByteStrings(Vec<&'a [u8]>),
    /// Only where the dialect has arrays: a channel's name.
    Text(&'a str),
}

/// A row of an answer.
pub(crate) trait Row {
    /// Returns the number in a column.
    fn int(&self, column: usize) -> Result<i64>;
    /// Returns the bytes in a column, none for null.
    fn bytes(&self, column: usize) -> Result<Option<&[u8]>>;
}

/// Takes rows one by one; `Break` ends the answer.
pub(crate) type EachRow<'a> = &'a mut (dyn FnMut(&dyn Row) -> Result<ControlFlow<()>> + Send);

/// A connection to the database on which statements run one after another.
///
/// The futures of SQLite's are ready at once: its thread runs the same code as the servers' tasks.
pub(crate) trait Session: Send {
    /// Runs a statement that answers with rows.
    fn query(
        &mut self,
        sql: &Sql,
        params: &[Param<'_>],
        each: EachRow<'_>,
    ) -> impl Future<Output = Attempt<()>> + Send;

    /// Runs a statement and returns how many rows it touched.
    fn execute(
        &mut self,
        sql: &Sql,
        params: &[Param<'_>],
    ) -> impl Future<Output = Attempt<u64>> + Send;

    /// Begins to read: the state, by its statement, and everything up to [`end`](Self::end) come
    /// from one snapshot.
    fn begin_snapshot(&mut self, state: &Sql) -> impl Future<Output = Attempt<State>> + Send;

    /// Begins to write: each statement sees what was committed before it.
    fn begin_write(&mut self) -> impl Future<Output = Attempt<()>> + Send;

    /// Ends what was begun. What was written is durable when it returns.
    fn end(&mut self) -> impl Future<Output = Attempt<()>> + Send;
}
