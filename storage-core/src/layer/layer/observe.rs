//! What a backend does, as spans, counters and histograms.
//!
//! Metrics go to the `metrics` facade; who installs a recorder calls [`describe`] once after it.
//! `store` is the name that the layer was given, the engine's by default. `operation` is a method
//! of the trait. `result` is `ok`, `dropped` when the caller went away, or the error's kind in
//! snake case, as in `too_large`.
//!
//! | metric | type | labels | counts |
//! |---|---|---|---|
//! | `unistore_storage_requests_total` | counter | operation, result, store | calls that ended |
//! | `unistore_storage_request_duration_seconds` | histogram | operation, result, store | how long they took |
//! | `unistore_storage_requests_in_flight` | gauge | operation, store | calls that have not ended |
//! | `unistore_storage_commit_transactions` | histogram | store | transactions per call of `commit` |
//! | `unistore_storage_conflicts_total` | counter | store | transactions refused by a precondition |
//! | `unistore_storage_items_total` | counter | operation, store | items on pages, changes, counts |
//! | `unistore_storage_compacted_total` | counter | record, store | changes, history and trash dropped |
//! | `unistore_storage_head_revision` | gauge | store | the newest revision, after each commit and look at the changes |
//! | `unistore_storage_horizon_revision` | gauge | store | reads below it are expired |
//! | `unistore_group_commit_transactions` | histogram | | transactions per commit of a group, by `GroupCommit` |
//! | `unistore_change_cache_requests_total` | counter | source | who answered `changes`: memory or store, by `ChangeCache` |
//! | `unistore_change_cache_changes` | gauge | | changes in memory |
//! | `unistore_change_cache_bytes` | gauge | | their bytes |
//!
//! Each call is a span of level debug named `storage`, with `operation`, `store`, `result` and
//! what it is about. A failure of the store is an event of level warn in it, a refused request one
//! of level debug. Values never appear.

mod call;
pub(super) mod name;

use std::fmt::{self, Display};

use async_trait::async_trait;
use tokio::sync::watch;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use self::call::Call;
use crate::{
    BackendInfo, Changes, ChangesQuery, Compacted, ListQuery, Outcome, Page, ResourceKey,
    ResourceStats, Result, Retention, Revision, Scope, StorageBackend, Stored, Transaction,
};

pub use self::name::describe;

/// Tells what a backend does; answers are passed on as they are.
#[derive(Debug)]
pub struct Observe<B> {
    inner: B,
    store: &'static str,
}

impl<B: StorageBackend> Observe<B> {
    /// Observes a backend under the name of its engine.
    #[must_use]
    pub fn new(inner: B) -> Self {
        let store = inner.info().engine;
        Self::named(inner, store)
    }

    /// Observes a backend under a name of its own, where a process has several of an engine.
    #[must_use]
    pub const fn named(inner: B, store: &'static str) -> Self {
        Self { inner, store }
    }

    /// Returns the backend below.
    pub const fn inner(&self) -> &B {
        &self.inner
    }

    async fn observe<T>(
        &self,
        operation: &'static str,
        about: &(dyn Display + Sync),
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let store = self.store;
        let span = tracing::debug_span!("storage", operation, store, %about, result = Empty);
        self.measure(operation, call).instrument(span).await
    }

    async fn measure<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let measured = Call::begin(operation, self.store);
        let result = call.await;
        let outcome = measured.end(&result);
        Span::current().record("result", outcome);
        result
    }

    fn count_items(&self, operation: &'static str, items: usize) {
        metrics::counter!(name::ITEMS, "operation" => operation, "store" => self.store)
            .increment(items as u64);
    }

    fn count_outcomes(&self, outcomes: &[Outcome]) {
        let conflicts = outcomes.iter().filter(|o| o.revision().is_none()).count();
        if conflicts > 0 {
            metrics::counter!(name::CONFLICTS, "store" => self.store).increment(conflicts as u64);
        }
    }

    fn count_compacted(&self, compacted: &Compacted) {
        let records = [
            ("changes", compacted.changes),
            ("history", compacted.history),
            ("trash", compacted.trash),
        ];
        for (record, dropped) in records {
            metrics::counter!(name::COMPACTED, "record" => record, "store" => self.store)
                .increment(dropped);
        }
        self.show(name::HORIZON, compacted.horizon);
    }

    fn show(&self, gauge: &'static str, revision: Revision) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!(gauge, "store" => self.store).set(revision.get() as f64);
    }

    fn show_head(&self) {
        let head = *self.inner.head().borrow();
        self.show(name::HEAD, head);
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: StorageBackend> StorageBackend for Observe<B> {
    fn info(&self) -> &BackendInfo {
        self.inner.info()
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>> {
        let count = transactions.len();
        #[expect(clippy::cast_precision_loss, reason = "at most 1024, or refused")]
        metrics::histogram!(name::TRANSACTIONS, "store" => self.store).record(count as f64);
        let commit = self.inner.commit(transactions);
        let outcomes = self.observe("commit", &Transactions(count), commit).await?;
        self.count_outcomes(&outcomes);
        self.show_head();
        Ok(outcomes)
    }

    async fn get(&self, key: &ResourceKey, at: Option<Revision>) -> Result<Option<Stored>> {
        self.observe("get", key, self.inner.get(key, at)).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page> {
        let list = self.inner.list(query);
        let page = self.observe("list", &query.scope, list).await?;
        self.count_items("list", page.items.len());
        Ok(page)
    }

    async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        let changes = self.inner.changes(query);
        let answer = self.observe("changes", &query.scope, changes).await?;
        self.count_items("changes", answer.changes.len());
        self.show_head();
        Ok(answer)
    }

    async fn compact(&self, policy: &Retention) -> Result<Compacted> {
        let compact = self.inner.compact(policy);
        let compacted = self.observe("compact", &"one step", compact).await?;
        self.count_compacted(&compacted);
        Ok(compacted)
    }

    async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        let stats = self
            .observe("stats", scope, self.inner.stats(scope))
            .await?;
        self.count_items("stats", stats.len());
        Ok(stats)
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.inner.head()
    }
}

struct Transactions(usize);

impl Display for Transactions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} transactions", self.0)
    }
}
