//! What the operations share: the engine, the one writer, and whether the store still works.

use std::sync::{Arc, OnceLock};

use storage_core::{Clock, Error, ErrorKind, Result, Revision};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use crate::engine::{Batch, KvEngine, KvView, WriteError};
use crate::record::{State, unseal};
use crate::{format, keyspace};

#[derive(Debug)]
pub(crate) struct Store<E> {
    pub(crate) engine: E,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) head: watch::Sender<Revision>,
    /// Whoever holds it is the writer. Callers queue for it without a thread, in order.
    writer: Arc<Mutex<State>>,
    /// Why the store refuses work. Set by the first write that failed, for ever.
    refused: OnceLock<Arc<str>>,
}

pub(crate) type Writer = OwnedMutexGuard<State>;

impl<E: KvEngine> Store<E> {
    pub(crate) fn open(engine: E, clock: Arc<dyn Clock>) -> Result<Self> {
        let state = format::open(&engine)?;
        Ok(Self {
            engine,
            clock,
            head: watch::Sender::new(Revision::new(state.head)),
            writer: Arc::new(Mutex::new(state)),
            refused: OnceLock::new(),
        })
    }

    /// Waits for the turn to write.
    pub(crate) async fn writer(&self) -> Writer {
        Arc::clone(&self.writer).lock_owned().await
    }

    /// Takes a view and the state that it shows.
    pub(crate) fn view(&self, operation: &'static str) -> Result<(E::View<'_>, State)> {
        self.usable(operation)?;
        let view = self.engine.view()?;
        let state = read_state(&view)?;
        Ok((view, state))
    }

    /// Fails if a write failed before.
    pub(crate) fn usable(&self, operation: &'static str) -> Result<()> {
        match self.refused.get() {
            None => Ok(()),
            Some(why) => Err(Error::new(
                ErrorKind::Unavailable,
                operation,
                format!("{} must be reopened: {why}", self.engine.location()),
            )),
        }
    }

    /// Writes what a commit or a compaction prepared; then it is visible.
    pub(crate) fn publish(
        &self,
        operation: &'static str,
        writer: &mut Writer,
        state: State,
        mut batch: Batch,
    ) -> Result<()> {
        if state == **writer && batch.is_empty() {
            return Ok(());
        }
        let row = crate::record::seal(keyspace::STATE, &state, &[]);
        batch.put(keyspace::STATE.to_vec(), row);
        let unfinished = Unfinished(self);
        let written = self.engine.write(batch);
        std::mem::forget(unfinished);
        written.map_err(|error| self.refuse(operation, error))?;
        **writer = state;
        let head = Revision::new(state.head);
        self.head
            .send_if_modified(|published| std::mem::replace(published, head) != head);
        Ok(())
    }

    /// From now on the store refuses work: what a failed write left is only known after the
    /// engine has recovered.
    fn refuse(&self, operation: &'static str, error: WriteError) -> Error {
        let (kind, cause) = match error {
            WriteError::NotWritten(cause) => (ErrorKind::Unavailable, cause),
            WriteError::Unknown(cause) => (ErrorKind::Indeterminate, cause),
        };
        tracing::error!(%operation, store = self.engine.location(), error = ?cause, "a durable write failed");
        self.poison(&format!("a durable write failed: {cause}"));
        let context = format!(
            "a durable write failed, {} must be reopened",
            self.engine.location()
        );
        Error::new(kind, operation, context).with_source(cause)
    }

    fn poison(&self, why: &str) {
        self.refused.get_or_init(|| why.into());
    }
}

/// A write that ended by a panic is a failed write.
struct Unfinished<'a, E: KvEngine>(&'a Store<E>);

impl<E: KvEngine> Drop for Unfinished<'_, E> {
    fn drop(&mut self) {
        self.0.poison("the engine panicked in a durable write");
    }
}

pub(crate) fn read_state(view: &impl KvView) -> Result<State> {
    let Some(row) = view.get(keyspace::STATE)? else {
        let context = "the row with the store's state is missing";
        return Err(Error::new(ErrorKind::Corrupt, "read store", context));
    };
    Ok(unseal::<State>(keyspace::STATE, &row)?.0)
}
