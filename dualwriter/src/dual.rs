use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use storage_core::{
    BackendInfo, Changes, ChangesQuery, Compacted, Durability, Error, ErrorKind, ListQuery,
    Outcome, Page, Precondition, ResourceKey, ResourceStats, Result, Retention, Revision, Scope,
    Sharing, StorageBackend, StorageBackendExt, Stored, Transaction,
};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::commit::newest;
use crate::inner::Inner;
use crate::record::{Coverage, Keys, ModeRecord, from_json, to_json};
use crate::{Mode, Options, Side, keeper};

/// Two stores and a mode for each kind of object, as one store.
///
/// Any number of processes may open dual writers on the same two stores. What they promise
/// together, and how, is told in the documentation of this crate.
#[derive(Debug)]
pub struct DualWriter {
    info: BackendInfo,
    pub(crate) inner: Arc<Inner>,
    /// Commits under way: aborted when this is dropped, as by a crash; so is the background.
    pub(crate) commits: Mutex<JoinSet<()>>,
    pub(crate) background: Mutex<JoinSet<()>>,
    _tasks: EndedWithThis,
}

/// Tasks that are aborted when this is dropped.
#[derive(Debug)]
struct EndedWithThis(Arc<Mutex<JoinSet<()>>>);

impl Drop for EndedWithThis {
    fn drop(&mut self) {
        self.0.lock().abort_all();
    }
}

impl DualWriter {
    /// Opens a dual writer. Stores the default mode if nobody did before.
    ///
    /// # Errors
    /// `Invalid` for options out of range, or what the store that the default mode reads says.
    pub async fn open(
        legacy: Arc<dyn StorageBackend>,
        unified: Arc<dyn StorageBackend>,
        options: Options,
    ) -> Result<Self> {
        options.validate()?;
        let keys = Keys::new(options.space);
        let default = default_mode(&legacy, &unified, &keys, &options).await?;
        let side = default.mode()?.read_side();
        let head = match side {
            Side::Legacy => *legacy.head().borrow(),
            Side::Unified => *unified.head().borrow(),
        };
        let inner = Arc::new_cyclic(|me| Inner {
            me: me.clone(),
            legacy,
            unified,
            keys,
            default,
            views: Default::default(),
            acknowledged: Default::default(),
            slots: Default::default(),
            bases: Default::default(),
            queue: Default::default(),
            head: watch::Sender::new(head),
            uncleared: Default::default(),
            rights: Default::default(),
            looks: Default::default(),
            tasks: Default::default(),
            syncing: Default::default(),
            options,
        });
        let dual = Self {
            info: info(&inner),
            _tasks: EndedWithThis(Arc::clone(&inner.tasks)),
            inner,
            commits: Mutex::default(),
            background: Mutex::default(),
        };
        dual.inner.view(&dual.inner.default.kind()).await?;
        dual.inner.raise_journal(dual.inner.default.mode()?).await?;
        for task in keeper::tasks(&dual.inner) {
            dual.background.lock().spawn(task);
        }
        Ok(dual)
    }

    fn refuse_reserved(&self, key: &ResourceKey) -> Result<()> {
        if self.inner.keys.is_ours(key) {
            let context = format!("{key} is a control record of the dual writer");
            return Err(Error::invalid("commit", context));
        }
        Ok(())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StorageBackend for DualWriter {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>> {
        Transaction::validate_all(&transactions)?;
        for write in transactions.iter().flat_map(|t| &t.writes) {
            self.refuse_reserved(&write.key)?;
        }
        if let [transaction] = transactions.as_slice()
            && let Some(outcome) = self.inner.commit_at_once(transaction).await?
        {
            // Should the caller go away before this, the followers of the stores' heads do it.
            if let Some(revision) = outcome.revision() {
                self.inner.publish(revision);
            }
            return Ok(vec![outcome]);
        }
        let (answer, answered) = tokio::sync::oneshot::channel();
        let inner = Arc::clone(&self.inner);
        {
            // A caller that goes away does not leave a write half done until somebody helps.
            let mut commits = self.commits.lock();
            while commits.try_join_next().is_some() {}
            commits.spawn(async move {
                let result = inner.commit(transactions).await;
                if let Some(revision) = result.as_deref().ok().and_then(newest) {
                    inner.publish(revision);
                }
                let _ = answer.send(result);
            });
        }
        answered.await.unwrap_or_else(|_| {
            let context = "the dual writer was closed in the middle of a write";
            Err(Error::new(ErrorKind::Indeterminate, "commit", context))
        })
    }

    async fn get(&self, key: &ResourceKey, at: Option<Revision>) -> Result<Option<Stored>> {
        if self.inner.keys.is_ours(key) {
            return Ok(None);
        }
        self.inner.get(key, at).await.map_err(of_a_read)
    }

    async fn list(&self, query: &ListQuery) -> Result<Page> {
        query.validate()?;
        self.inner.list_range(query).await.map_err(of_a_read)
    }

    async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        query.validate()?;
        self.inner.changes(query).await.map_err(of_a_read)
    }

    async fn compact(&self, policy: &Retention) -> Result<Compacted> {
        self.inner.compact(policy).await
    }

    async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        scope.validate()?;
        self.inner.stats(scope).await.map_err(of_a_read)
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.inner.head.subscribe()
    }
}

/// A read may have to write something of ours, whose outcome is nothing to its caller: the read just
/// has to be tried again.
pub(crate) fn of_a_read(error: Error) -> Error {
    if !error.is_indeterminate() {
        return error;
    }
    let context = "what the read had to write first has an unknown outcome";
    Error::new(ErrorKind::Unavailable, "read", context).with_source(error)
}

fn info(inner: &Inner) -> BackendInfo {
    let (legacy, unified) = (inner.legacy.info(), inner.unified.info());
    let both = |a: bool, b: bool| a && b;
    BackendInfo {
        engine: "dualwriter",
        location: format!(
            "legacy {} {}, unified {} {}",
            legacy.engine, legacy.location, unified.engine, unified.location
        ),
        durability: match (legacy.durability, unified.durability) {
            (Durability::Durable, Durability::Durable) => Durability::Durable,
            (Durability::Volatile, _) | (_, Durability::Volatile) => Durability::Volatile,
        },
        sharing: if both(
            legacy.sharing == Sharing::ManyProcesses,
            unified.sharing == Sharing::ManyProcesses,
        ) {
            Sharing::ManyProcesses
        } else {
            Sharing::OneProcess
        },
    }
}

/// Finds the default mode that was stored first, or stores this one.
async fn default_mode(
    legacy: &Arc<dyn StorageBackend>,
    unified: &Arc<dyn StorageBackend>,
    keys: &Keys,
    options: &Options,
) -> Result<ModeRecord> {
    let key = keys.default_mode();
    // Legacy first: it is there in every deployment that begins, and of two processes that begin
    // together one wins there.
    let stored = match first_default(legacy, &key, options.config.default_mode).await {
        Ok(stored) => stored,
        Err(error) => match unified.get(&key, None).await? {
            Some(stored) => return from_json(&stored),
            None => return Err(error),
        },
    };
    if let Err(error) = store_default(unified, &key, &stored).await {
        if stored.mode()?.home() == Side::Unified {
            return Err(error);
        }
        tracing::warn!(%error, "unified cannot be reached, legacy goes on without it");
    }
    Ok(stored)
}

async fn first_default(
    legacy: &Arc<dyn StorageBackend>,
    key: &ResourceKey,
    mode: Mode,
) -> Result<ModeRecord> {
    if let Some(stored) = legacy.get(key, None).await? {
        return from_json(&stored);
    }
    let mut wanted = ModeRecord::first(mode);
    if !legacy.stats(&Scope::All).await?.is_empty() {
        // A sync back would take what unified never had out of legacy.
        wanted.coverage = Coverage::Partial;
    }
    store_default(legacy, key, &wanted).await
}

async fn store_default(
    store: &Arc<dyn StorageBackend>,
    key: &ResourceKey,
    wanted: &ModeRecord,
) -> Result<ModeRecord> {
    if let Some(stored) = store.get(key, None).await? {
        return from_json(&stored);
    }
    let create = Transaction::put(key.clone(), Precondition::Absent, to_json(wanted));
    match store.commit_one(create).await? {
        Outcome::Committed { .. } => Ok(wanted.clone()),
        Outcome::Conflict(_) => match store.get(key, None).await? {
            Some(stored) => from_json(&stored),
            None => Ok(wanted.clone()),
        },
    }
}
