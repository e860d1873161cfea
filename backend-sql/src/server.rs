//! What PostgreSQL and MySQL have in common: a pool of connections, commits that are tried again,
//! and a head that other processes move.

mod commit;
mod head;
mod location;
mod retry;
mod wire;

use std::future::Future;
use std::sync::Arc;

use storage_core::{
    BackendInfo, Changes, ChangesQuery, Clock, Compacted, Durability, Error, ErrorKind, ListQuery,
    Outcome, Page, ResourceKey, ResourceStats, Result, Retention, Revision, Scope, Sharing, Stored,
    Transaction,
};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

pub(crate) use self::head::Head;
pub(crate) use self::location::redacted;
pub(crate) use self::retry::Backoff;
pub(crate) use self::wire::{Server, Wire, malformed};
use crate::SqlOptions;
use crate::store::changes::ReadChanges;
use crate::store::compact::Compaction;
use crate::store::dialect::Dialect;
use crate::store::failure::{Attempt, Failure};
use crate::store::get::Get;
use crate::store::list::List;
use crate::store::plan::Plan;
use crate::store::session::{Session, Sql};
use crate::store::state::State;
use crate::store::statements::Statements;
use crate::store::stats::Stats;

/// Fewest connections of a pool: one that commits, one that listens, one that finds out what became
/// of a lost commit, and one that reads.
pub(crate) const CONNECTIONS_MIN: u32 = 4;

/// What a kind of server adds: its connections.
pub(crate) trait Driver: Send + Sync + 'static {
    /// A connection.
    type Session: ServerSession + 'static;

    /// Returns a connection from the pool.
    fn acquire(&self) -> impl Future<Output = Attempt<Self::Session>> + Send;

    /// Follows the newest revision as long as it is polled. Never returns.
    fn follow(self: Arc<Self>, head: Head, options: SqlOptions) -> impl Future<Output = ()> + Send;
}

/// A connection to a server that several processes write to.
pub(crate) trait ServerSession: Session {
    /// Whether a plan is first written without having locked the counter: one statement writes it
    /// all, only if the counter has not moved.
    const WRITES_WITHOUT_LOCK: bool;

    /// Begins to write and locks the counter. Nobody else commits until [`Session::end`].
    fn lock(&mut self, lock_state: &Sql) -> impl Future<Output = Attempt<State>> + Send;

    /// Writes a plan, the counter last. Returns false, having written nothing, if the counter has
    /// moved since the plan was made. Outside of a transaction it is committed on return, inside
    /// it is not.
    fn write(&mut self, plan: &Plan, writer: i64) -> impl Future<Output = Attempt<bool>> + Send;
}

/// A store on a server.
pub(crate) struct ServerStore<D: Driver> {
    pub(crate) info: BackendInfo,
    shared: Arc<Shared<D>>,
    follower: JoinHandle<()>,
}

struct Shared<D: Driver> {
    driver: Arc<D>,
    clock: Arc<dyn Clock>,
    options: SqlOptions,
    statements: Arc<Statements>,
    /// The number of this handle in `resource_writer`.
    writer: i64,
    head: Head,
    /// Commits of one process stand in line here, not in the database. It holds the connection
    /// that the last one used.
    lane: Mutex<Option<D::Session>>,
}

impl<D: Driver> ServerStore<D> {
    /// Takes a server whose schema is up to date.
    pub(crate) async fn start(
        driver: D,
        dialect: &'static Dialect,
        statements: Arc<Statements>,
        location: String,
        options: &SqlOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let mut session = driver.acquire().await.map_err(Failure::into_error)?;
        let registered = commit::register(&mut session, &statements).await;
        let (writer, state) = registered.map_err(Failure::into_error)?;
        drop(session);
        let driver = Arc::new(driver);
        let head = Head::new(state.head, Arc::clone(&statements));
        let follower = tokio::spawn(Arc::clone(&driver).follow(head.clone(), options.clone()));
        Ok(Self {
            info: BackendInfo {
                engine: dialect.engine,
                location,
                durability: Durability::Durable,
                sharing: Sharing::ManyProcesses,
            },
            shared: Arc::new(Shared {
                driver,
                clock,
                options: options.clone(),
                statements,
                writer,
                head,
                lane: Mutex::new(None),
            }),
            follower,
        })
    }

    #[cfg(test)]
    pub(crate) fn driver(&self) -> &D {
        &self.shared.driver
    }

    pub(crate) async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>> {
        Transaction::validate_all(&transactions)?;
        // A task of its own: when the caller goes away, a commit that is under way is not torn
        // from its connection before it is known what became of it.
        let commit = tokio::spawn(Arc::clone(&self.shared).commit(transactions));
        commit.await.map_err(|e| {
            let context = "the commit broke off";
            Error::new(ErrorKind::Indeterminate, "commit", context).with_source(e)
        })?
    }

    pub(crate) async fn get(
        &self,
        key: &ResourceKey,
        at: Option<Revision>,
    ) -> Result<Option<Stored>> {
        let key = key.clone();
        let get = Get { key, at };
        get.validate()?;
        self.shared.read(&get).await
    }

    pub(crate) async fn list(&self, query: &ListQuery) -> Result<Page> {
        query.validate()?;
        let query = query.clone();
        self.shared.read(&List { query }).await
    }

    pub(crate) async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        query.validate()?;
        let query = query.clone();
        self.shared.read(&ReadChanges { query }).await
    }

    pub(crate) async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        let scope = scope.clone();
        let stats = Stats { scope };
        stats.validate()?;
        self.shared.read(&stats).await
    }

    pub(crate) async fn compact(&self, policy: &Retention) -> Result<Compacted> {
        let compaction = Compaction::new(policy.clone(), self.shared.clock.now())?;
        self.shared.compact(compaction).await
    }

    pub(crate) fn head(&self) -> watch::Receiver<Revision> {
        self.shared.head.subscribe()
    }
}

impl<D: Driver> Drop for ServerStore<D> {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl<D: Driver> Shared<D> {
    /// Runs a read, again on another connection when one was lost.
    async fn read<R: Read>(&self, read: &R) -> Result<R::Output> {
        let mut backoff = self.backoff();
        loop {
            let failure = match self.read_once(read).await {
                Ok(output) => return Ok(output),
                Err(failure) => failure,
            };
            backoff.wait_after(failure).await?;
        }
    }

    async fn read_once<R: Read>(&self, read: &R) -> Attempt<R::Output> {
        let mut session = self.driver.acquire().await?;
        let result = read.run(&mut session, &self.statements).await;
        if result.as_ref().is_err_and(Failure::is_answer) {
            // The snapshot may be open still; if it cannot be ended, the connection is closed.
            let _ = session.end().await;
        }
        result
    }

    async fn compact(&self, mut compaction: Compaction) -> Result<Compacted> {
        let mut backoff = self.backoff();
        loop {
            if let Some(compacted) = compaction.result() {
                return Ok(compacted);
            }
            if let Err(failure) = self.compact_once(&mut compaction).await {
                backoff.wait_after(failure).await?;
            }
        }
    }

    async fn compact_once(&self, compaction: &mut Compaction) -> Attempt<()> {
        let mut session = self.driver.acquire().await?;
        compaction.step(&mut session, &self.statements).await
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(self.options.acquire_timeout, self.writer.cast_unsigned())
    }
}

/// A read on any kind of server.
trait Read: Sync {
    type Output: Send;

    fn run<S: Session>(
        &self,
        session: &mut S,
        statements: &Statements,
    ) -> impl Future<Output = Attempt<Self::Output>> + Send;
}

macro_rules! reads {
    ($($read:ty, $output:ty;)*) => {
        $(impl Read for $read {
            type Output = $output;

            fn run<S: Session>(
                &self,
                session: &mut S,
                statements: &Statements,
            ) -> impl Future<Output = Attempt<$output>> + Send {
                <$read>::run(self, session, statements)
            }
        })*
    };
}

reads! {
    Get, Option<Stored>;
    List, Page;
    ReadChanges, Changes;
    Stats, Vec<ResourceStats>;
}

/// Implements the storage trait for a type with a [`ServerStore`] in its field `store`.
macro_rules! storage_backend {
    ($backend:ty) => {
        #[async_trait::async_trait]
        impl storage_core::StorageBackend for $backend {
            fn info(&self) -> &storage_core::BackendInfo {
                &self.store.info
            }

            async fn commit(
                &self,
                transactions: Vec<storage_core::Transaction>,
            ) -> storage_core::Result<Vec<storage_core::Outcome>> {
                self.store.commit(transactions).await
            }

            async fn get(
                &self,
                key: &storage_core::ResourceKey,
                at: Option<storage_core::Revision>,
            ) -> storage_core::Result<Option<storage_core::Stored>> {
                self.store.get(key, at).await
            }

            async fn list(
                &self,
                query: &storage_core::ListQuery,
            ) -> storage_core::Result<storage_core::Page> {
                self.store.list(query).await
            }

            async fn changes(
                &self,
                query: &storage_core::ChangesQuery,
            ) -> storage_core::Result<storage_core::Changes> {
                self.store.changes(query).await
            }

            async fn compact(
                &self,
                policy: &storage_core::Retention,
            ) -> storage_core::Result<storage_core::Compacted> {
                self.store.compact(policy).await
            }

            async fn stats(
                &self,
                scope: &storage_core::Scope,
            ) -> storage_core::Result<Vec<storage_core::ResourceStats>> {
                self.store.stats(scope).await
            }

            fn head(&self) -> tokio::sync::watch::Receiver<storage_core::Revision> {
                self.store.head()
            }
        }
    };
}

pub(crate) use storage_backend;
