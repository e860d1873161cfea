use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rusqlite::Connection;
use storage_core::{Clock, Error, ErrorKind, Outcome, Result, Revision, Transaction};
use tokio::sync::{mpsc, oneshot, watch};

use super::file::{LockedFile, unavailable};
use super::session::{SqliteSession, roll_back, run};
use crate::SqlOptions;
use crate::store::apply::apply;
use crate::store::compact::Compaction;
use crate::store::failure::{Attempt, Failure};
use crate::store::plan::Plan;
use crate::store::session::{Param, Session};
use crate::store::state::{State, param};
use crate::store::statements::Statements;
use crate::store::view::{KeysOfCommit, View};

/// Free pages beyond which a compaction gives some back to the file system.
const FREE_PAGES_MAX: i64 = 4096;

/// Most pages that are given back at once: a few milliseconds of work.
const VACUUM_PAGES: i64 = 1024;

/// The thread that writes. Dropping it waits until what it has accepted is done and the file is
/// closed.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    head: watch::Sender<Revision>,
    poisoned: Arc<AtomicBool>,
}

enum Job {
    Commit(Vec<Transaction>, oneshot::Sender<Result<Vec<Outcome>>>),
    Compact(Compaction, oneshot::Sender<Result<Compaction>>),
}

impl Writer {
    pub(super) fn start(
        mut file: LockedFile,
        statements: Arc<Statements>,
        clock: Arc<dyn Clock>,
        options: &SqlOptions,
    ) -> Result<Self> {
        let mut session = SqliteSession {
            connection: &mut file.connection,
        };
        let state =
            run(State::read(&mut session, &statements.state)).map_err(Failure::into_error)?;
        let (jobs, queue) = mpsc::channel(options.writer_queue_max.max(1));
        let head = watch::Sender::new(state.head);
        let poisoned = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            file,
            statements,
            clock,
            head: head.clone(),
            poisoned: Arc::clone(&poisoned),
        };
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || worker.run(queue))
            .map_err(|e| unavailable("the writer's thread cannot be started", e))?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
            head,
            poisoned,
        })
    }

    pub(super) async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>> {
        let (answer, answered) = oneshot::channel();
        self.send("commit", Job::Commit(transactions, answer))
            .await?;
        let lost = |_| {
            let context = "the writer broke off";
            Error::new(ErrorKind::Indeterminate, "commit", context)
        };
        answered.await.map_err(lost)?
    }

    /// Runs the next transaction of a compaction.
    pub(super) async fn compact(&self, compaction: Compaction) -> Result<Compaction> {
        let (answer, answered) = oneshot::channel();
        self.send("compact", Job::Compact(compaction, answer))
            .await?;
        let lost = |_| Error::new(ErrorKind::Unavailable, "compact", "the writer broke off");
        answered.await.map_err(lost)?
    }

    pub(super) fn head(&self) -> watch::Receiver<Revision> {
        self.head.subscribe()
    }

    /// Refuses work after a write failed of which nobody knows whether it is in the file.
    pub(super) fn healthy(&self, operation: &'static str) -> Result<()> {
        healthy(&self.poisoned, operation)
    }

    async fn send(&self, operation: &'static str, job: Job) -> Result<()> {
        self.healthy(operation)?;
        let closed = || Error::new(ErrorKind::Unavailable, operation, "the store is closed");
        let jobs = self.jobs.as_ref().ok_or_else(closed)?;
        jobs.send(job).await.map_err(|_| closed())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

struct Worker {
    file: LockedFile,
    statements: Arc<Statements>,
    clock: Arc<dyn Clock>,
    head: watch::Sender<Revision>,
    poisoned: Arc<AtomicBool>,
}

impl Worker {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        // Callers that went away are no reason to stop: the answer is dropped then.
        while let Some(job) = queue.blocking_recv() {
            match job {
                Job::Commit(transactions, answer) => {
                    let _ = answer.send(self.commit(&transactions));
                }
                Job::Compact(compaction, answer) => {
                    let _ = answer.send(self.compact(compaction));
                }
            }
        }
    }

    fn commit(&mut self, transactions: &[Transaction]) -> Result<Vec<Outcome>> {
        healthy(&self.poisoned, "commit")?;
        let now = self.clock.now();
        let plan = self.transact(|session, statements| {
            run(async {
                session.begin_write().await?;
                let view =
                    View::read(session, statements, &KeysOfCommit::new(transactions)).await?;
                let plan = Plan::new(&view, transactions, now);
                if !plan.is_empty() {
                    apply(session, statements, &plan).await?;
                    let changes = Param::Int(plan.history.len() as i64);
                    let params = [param(plan.head), changes];
                    session.execute(&statements.update_state, &params).await?;
                }
                Ok(plan)
            })
        })?;
        self.head.send_if_modified(|head| {
            let moved = plan.head > *head;
            *head = plan.head.max(*head);
            moved
        });
        Ok(plan.outcomes)
    }

    fn compact(&mut self, mut compaction: Compaction) -> Result<Compaction> {
        healthy(&self.poisoned, "compact")?;
        let mut session = SqliteSession {
            connection: &mut self.file.connection,
        };
        let step = run(compaction.step(&mut session, &self.statements));
        if let Err(failure) = step {
            roll_back(&self.file.connection);
            return Err(self.note(failure));
        }
        if compaction.result().is_some() {
            give_back(&self.file.connection).map_err(|e| {
                let failure = super::session::failure(e);
                self.note(failure)
            })?;
        }
        Ok(compaction)
    }

    /// Runs work in a transaction that it begins, and commits. Only a failure of the commit itself
    /// leaves open what happened.
    fn transact<T>(
        &mut self,
        work: impl FnOnce(&mut SqliteSession<'_>, &Statements) -> Attempt<T>,
    ) -> Result<T> {
        let mut session = SqliteSession {
            connection: &mut self.file.connection,
        };
        let done = match work(&mut session, &self.statements) {
            Ok(done) => done,
            Err(failure) => {
                roll_back(&self.file.connection);
                return Err(self.note(failure));
            }
        };
        match run(session.end()) {
            Ok(()) => Ok(done),
            Err(Failure::Lost(source)) => {
                roll_back(&self.file.connection);
                self.note(Failure::Lost(source.clone()));
                let context = "writing the file failed: the commit may be in it or not";
                Err(Error::new(ErrorKind::Indeterminate, "commit", context).with_source(source))
            }
            Err(failure) => {
                roll_back(&self.file.connection);
                Err(self.note(failure))
            }
        }
    }

    /// Stops work after an error of reading or writing: what the file holds is not known any more.
    fn note(&self, failure: Failure) -> Error {
        if let Failure::Lost(error) = &failure {
            tracing::error!(%error, "the store refuses work until it is opened again");
            self.poisoned.store(true, Ordering::SeqCst);
        }
        failure.into_error()
    }
}

fn healthy(poisoned: &AtomicBool, operation: &'static str) -> Result<()> {
    if poisoned.load(Ordering::SeqCst) {
        let context = "writing the file failed earlier: open the store again";
        return Err(Error::new(ErrorKind::Unavailable, operation, context));
    }
    Ok(())
}

/// Gives free pages back to the file system, when there are many of them.
fn give_back(connection: &Connection) -> rusqlite::Result<()> {
    let free: i64 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    if free > FREE_PAGES_MAX {
        let mut statement =
            connection.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
        let mut rows = statement.raw_query();
        while rows.next()?.is_some() {}
    }
    Ok(())
}
