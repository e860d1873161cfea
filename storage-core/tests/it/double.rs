use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use storage_core::{
    BackendInfo, Changes, ChangesQuery, Compacted, Error, ErrorKind, ListQuery, Memory, Outcome,
    Page, ResourceKey, ResourceStats, Result, Retention, Revision, Scope, StorageBackend, Stored,
    Transaction,
};
use tokio::sync::watch;

type Pick = fn(&ChangesQuery) -> bool;
type Verdict<T> = Box<dyn Fn(&T) -> Option<Error> + Send>;

/// A backend that waits, fails and panics when the test says so, and counts what it is asked.
pub(crate) struct Double {
    inner: Arc<dyn StorageBackend>,
    open: watch::Sender<bool>,
    commits: watch::Sender<Vec<usize>>,
    changes: watch::Sender<Vec<ChangesQuery>>,
    refuse_commit: Mutex<Option<Verdict<[Transaction]>>>,
    refuse_changes: Mutex<Option<Verdict<ChangesQuery>>>,
    hang_changes: Mutex<Option<Pick>>,
    lose_outcome: AtomicBool,
    head: Mutex<Option<watch::Sender<Revision>>>,
}

impl Double {
    pub(crate) fn new() -> Arc<Self> {
        Self::over(Arc::new(Memory::new()))
    }

    pub(crate) fn over(inner: Arc<dyn StorageBackend>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            open: watch::Sender::new(true),
            commits: watch::Sender::default(),
            changes: watch::Sender::default(),
            refuse_commit: Mutex::default(),
            refuse_changes: Mutex::default(),
            hang_changes: Mutex::default(),
            lose_outcome: AtomicBool::new(false),
            head: Mutex::default(),
        })
    }

    /// Lets no commit go on until `release`.
    pub(crate) fn hold(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn release(&self) {
        self.open.send_replace(true);
    }

    /// The sizes of the calls of `commit` that have begun.
    pub(crate) fn commits(&self) -> Vec<usize> {
        self.commits.borrow().clone()
    }

    /// Waits until this many calls of `commit` have begun.
    pub(crate) async fn commits_begun(&self, count: usize) {
        let mut commits = self.commits.subscribe();
        let begun = commits.wait_for(|commits| commits.len() >= count);
        super::fixture::within(begun).await.unwrap();
    }

    /// The queries of the calls of `changes` that have begun.
    pub(crate) fn asked(&self) -> Vec<ChangesQuery> {
        self.changes.borrow().clone()
    }

    /// Asks `verdict` before each commit.
    pub(crate) fn refuse_commits(
        &self,
        verdict: impl Fn(&[Transaction]) -> Option<Error> + Send + 'static,
    ) {
        *self.refuse_commit.lock() = Some(Box::new(verdict));
    }

    pub(crate) fn accept_commits(&self) {
        *self.refuse_commit.lock() = None;
    }

    /// Breaks the rule of one outcome per transaction.
    pub(crate) fn lose_outcome(&self) {
        self.lose_outcome.store(true, Ordering::SeqCst);
    }

    /// Asks `verdict` before each call of `changes`.
    pub(crate) fn refuse_changes(
        &self,
        verdict: impl Fn(&ChangesQuery) -> Option<Error> + Send + 'static,
    ) {
        *self.refuse_changes.lock() = Some(Box::new(verdict));
    }

    /// Lets calls of `changes` that `which` picks never end.
    pub(crate) fn hang_changes(&self, which: Pick) {
        *self.hang_changes.lock() = Some(which);
    }

    pub(crate) fn accept_changes(&self) {
        *self.refuse_changes.lock() = None;
    }

    /// Replaces the head by one that the test moves, and can drop.
    pub(crate) fn own_head(&self, head: Revision) {
        *self.head.lock() = Some(watch::Sender::new(head));
    }

    pub(crate) fn move_head(&self, head: Revision) {
        let sender = self.head.lock();
        sender.as_ref().expect("no own head").send_replace(head);
    }

    pub(crate) fn drop_head(&self) {
        *self.head.lock() = None;
    }
}

impl std::fmt::Debug for Double {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Double").finish_non_exhaustive()
    }
}

#[async_trait]
impl StorageBackend for Double {
    fn info(&self) -> &BackendInfo {
        self.inner.info()
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>> {
        self.commits
            .send_modify(|commits| commits.push(transactions.len()));
        let mut open = self.open.subscribe();
        let opened = open.wait_for(|open| *open).await.is_ok();
        assert!(opened, "the sender lives as long as self");
        let refused = self
            .refuse_commit
            .lock()
            .as_ref()
            .and_then(|verdict| verdict(&transactions));
        match refused {
            Some(error) => Err(error),
            None => {
                let mut outcomes = self.inner.commit(transactions).await?;
                if self.lose_outcome.load(Ordering::SeqCst) {
                    outcomes.pop();
                }
                Ok(outcomes)
            }
        }
    }

    async fn get(&self, key: &ResourceKey, at: Option<Revision>) -> Result<Option<Stored>> {
        self.inner.get(key, at).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page> {
        self.inner.list(query).await
    }

    async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        self.changes.send_modify(|asked| asked.push(query.clone()));
        let hangs = self.hang_changes.lock().is_some_and(|which| which(query));
        if hangs {
            std::future::pending::<()>().await;
        }
        let refused = self
            .refuse_changes
            .lock()
            .as_ref()
            .and_then(|verdict| verdict(query));
        match refused {
            Some(error) => Err(error),
            None => self.inner.changes(query).await,
        }
    }

    async fn compact(&self, policy: &Retention) -> Result<Compacted> {
        self.inner.compact(policy).await
    }

    async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        self.inner.stats(scope).await
    }

    fn head(&self) -> watch::Receiver<Revision> {
        let own = self.head.lock();
        own.as_ref()
            .map_or_else(|| self.inner.head(), watch::Sender::subscribe)
    }
}

pub(crate) fn unavailable() -> Error {
    Error::new(ErrorKind::Unavailable, "test", "the store is away")
}
