use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use storage_core::{Changes, Error, ErrorKind, Page, ResourceStats, Result, Stored};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::{block_in_place, spawn_blocking};

use super::file::LockedFile;
use super::session::{SqliteSession, roll_back, run};
use crate::SqlOptions;
use crate::store::changes::ReadChanges;
use crate::store::failure::{Attempt, Failure};
use crate::store::get::Get;
use crate::store::list::List;
use crate::store::statements::Statements;
use crate::store::stats::Stats;

/// The connections that read.
#[derive(Debug)]
pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Readers {
    pub(super) fn open(file: &LockedFile, options: &SqlOptions) -> Result<Self> {
        let readers = options.readers_max.max(1);
        let connections: Result<Vec<_>> = (0..readers).map(|_| file.reader(options)).collect();
        Ok(Self {
            idle: Mutex::new(connections?),
            permits: Semaphore::new(readers),
        })
    }

    /// Runs one read on a connection that is free, when one is.
    pub(super) async fn run<R: Read>(
        self: Arc<Self>,
        statements: Arc<Statements>,
        read: R,
    ) -> Result<R::Output> {
        let closed = || Error::new(ErrorKind::Unavailable, "read", "the store is closed");
        let permit = self.permits.acquire().await.map_err(|_| closed())?;
        let is_short = read.is_short() && in_place_is_possible();
        if is_short {
            let result = block_in_place(|| self.run_blocking(&statements, &read));
            drop(permit);
            return result;
        }
        permit.forget();
        let readers = Arc::clone(&self);
        let reading = spawn_blocking(move || {
            let result = readers.run_blocking(&statements, &read);
            readers.permits.add_permits(1);
            result
        });
        let broken = |e| Error::new(ErrorKind::Internal, "read", "a read broke off").with_source(e);
        reading.await.map_err(|e| broken(Box::new(e)))?
    }

    fn run_blocking<R: Read>(&self, statements: &Statements, read: &R) -> Result<R::Output> {
        let closed = || Error::new(ErrorKind::Internal, "read", "no connection is free");
        let mut connection = self.idle.lock().pop().ok_or_else(closed)?;
        let result = read.run(
            &mut SqliteSession {
                connection: &mut connection,
            },
            statements,
        );
        if result.is_err() {
            roll_back(&connection);
        }
        self.idle.lock().push(connection);
        result.map_err(Failure::into_error)
    }
}

/// Blocking in place hands the other tasks of the thread over, so there must be another thread.
fn in_place_is_possible() -> bool {
    Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread
}

/// A read, on a thread that may block.
pub(super) trait Read: Send + Sync + 'static {
    type Output: Send + 'static;

    /// Tells whether it takes microseconds, so that another thread is not worth the way.
    fn is_short(&self) -> bool;

    fn run(&self, session: &mut SqliteSession<'_>, sql: &Statements) -> Attempt<Self::Output>;
}

macro_rules! reads {
    ($($read:ty, $output:ty, $is_short:literal;)*) => {
        $(impl Read for $read {
            type Output = $output;

            fn is_short(&self) -> bool {
                $is_short
            }

            fn run(&self, session: &mut SqliteSession<'_>, sql: &Statements) -> Attempt<$output> {
                run(<$read>::run(self, session, sql))
            }
        })*
    };
}

reads! {
    Get, Option<Stored>, true;
    List, Page, false;
    ReadChanges, Changes, false;
    Stats, Vec<ResourceStats>, false;
}
