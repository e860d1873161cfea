use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{
    Changes, ChangesQuery, Compacted, ListQuery, Outcome, Page, ResourceKey, ResourceStats, Result,
    Retention, Revision, Scope, Stored, Transaction,
};

/// What a backend is, for logs, errors and the people who read them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendInfo {
    /// The name of the engine, as in a store's URL: `redb`, `postgres`, `memory`.
    pub engine: &'static str,
    /// Where the data is, without secrets.
    pub location: String,
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// Who may open the data at the same time.
    pub sharing: Sharing,
}

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: it is gone with the process.
    Volatile,
    /// A crash of the process and a loss of power.
    Durable,
}

/// Who may open the data of a backend at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// One process; a second one is refused.
    OneProcess,
    /// Any number of processes, which see each other's changes.
    ManyProcesses,
}

/// A store of objects: current view, history, trash, ordered changes.
///
/// Everything that stores implements it: engines, layers, two backends under a mode. Each bullet
/// below is a case of the conformance suite. Two promises run through all of them:
///
/// * **One atomic write.** Current value, history, change record and counts of a transaction are
///   committed together or not at all; nobody ever sees a part.
/// * **Durable before visible.** A revision reaches readers, `changes` and `head` only after it is
///   durable. After the first failed durable write a backend refuses work until it is reopened.
#[async_trait]
pub trait StorageBackend: fmt::Debug + Send + Sync + 'static {
    /// Returns what this backend is.
    fn info(&self) -> &BackendInfo;

    /// Commits transactions, each all-or-nothing with an outcome of its own, in order.
    ///
    /// # Behaviour
    /// * One outcome per transaction, in the order of the call; none for none.
    /// * A later transaction of the call sees the writes of an earlier one.
    /// * Preconditions are checked at commit against the newest state, first failing write first.
    ///   A transaction with a failed precondition writes nothing; its neighbours are not touched.
    /// * Exactly one winner: of any number of concurrent writers with the same precondition one
    ///   commits, and each of the others gets a conflict that shows the winner's revision.
    /// * The writes of a transaction share one revision, higher than that of every transaction
    ///   committed before, by whatever process, and at least `at_least`.
    /// * A transaction that changes nothing takes no revision and leaves no record.
    /// * A put of the value that is already there is a write like any other.
    /// * Deleting keeps the deletion record in history and trash; creating the object again takes
    ///   it out of the trash and starts a life with a new `created` revision.
    /// * Records of the internal group have a current value and a revision, and nothing else.
    /// * Values are bytes and come back unchanged, empty ones too.
    /// * When the call returns, what was committed survives what
    ///   [`BackendInfo::durability`] says.
    /// * The effect does not depend on the future being polled to its end: a caller that goes away
    ///   leaves each transaction either committed whole or not at all.
    ///
    /// # Errors
    /// `Invalid` or `TooLarge` by [`Transaction::validate_all`]: the whole call is refused.
    /// `Indeterminate`: each transaction of the call may or may not be committed, each whole.
    /// Any other: nothing of the call was committed.
    async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>>;

    /// Returns an object, the newest or as of a revision; none if it did not exist then.
    ///
    /// # Behaviour
    /// * Without `at`: the newest value. A write that was acknowledged before the call is seen.
    /// * At a revision: the newest value at or before it, deleted objects being absent.
    /// * At the exact revision of a record that is still kept, or between two such records: the
    ///   value, however old.
    /// * The internal group has no old revisions: `at` is `Invalid` there.
    ///
    /// # Errors
    /// `FutureRevision` if `at` is newer than the store; `Expired` if what the answer needs is no
    /// longer kept.
    async fn get(&self, key: &ResourceKey, at: Option<Revision>) -> Result<Option<Stored>>;

    /// Returns one page of a list.
    ///
    /// # Behaviour
    /// * Items are in key order; a history list has each object's revisions in the asked order.
    /// * A live page shows the objects exactly as they were at the page's revision: the newest at
    ///   the first page, `at`, or the cursor's. Writes between pages are not seen.
    /// * A page ends after `limit` items or `limit_bytes` value bytes, whichever is first, but has
    ///   at least one item if there is one. `next` is set exactly if more items follow.
    /// * A live list costs what it returns: never a pass over the history.
    /// * A history list shows revisions up to the first page's revision, deletions included, of
    ///   live and deleted objects and of earlier lives.
    /// * A trash list shows each deleted object once, by its deletion record; objects that exist
    ///   are not in it. Its pages are not a snapshot: what is restored or dropped between two
    ///   pages may be missing.
    /// * The internal group is listed only by a scope that names it; its pages are not a snapshot.
    ///
    /// # Errors
    /// `Invalid` by [`ListQuery::validate`]; `FutureRevision`; `Expired` if a live list's revision
    /// is below the horizon.
    async fn list(&self, query: &ListQuery) -> Result<Page>;

    /// Returns changes after a revision: ordered, each once, complete up to `through`.
    ///
    /// # Behaviour
    /// * Ordered by revision, then in the order of the transaction's writes; each exactly once.
    /// * Complete: every change of the scope in `(after, through]` is there, and none outside.
    ///   Nothing is ever added to that range later.
    /// * Whole revisions: an answer that is cut by a limit ends between two transactions.
    /// * If a change of the scope follows `after`, up to `head` as it was when the call came, the
    ///   answer has at least one; `through` goes up to that `head` at least when no limit cut the
    ///   answer. Commits of other processes are in it once `head` has reached them, maybe sooner.
    /// * Each change has the value before it; a deletion has its deletion record.
    ///
    /// # Errors
    /// `Invalid` by [`ChangesQuery::validate`]; `FutureRevision` if `after` is newer than the
    /// store, never for a revision that a read showed, even if it is above `head`; `Expired` if a
    /// change after `after` may be gone.
    async fn changes(&self, query: &ChangesQuery) -> Result<Changes>;

    /// Drops a bounded part of what the policy does not keep.
    ///
    /// # Behaviour
    /// * Looks at no more than `step_max` records, and says whether more is left.
    /// * The horizon never goes back, and is durable before anything below it is gone.
    /// * Never drops: the newest revision of a live object; a change at or above the horizon's
    ///   successor; a revision that a read at or above the horizon reaches.
    /// * An object's older revisions go before its deletion record: what was deleted stays deleted.
    /// * Safe beside writers, readers and other compactions, and after a crash at any point.
    ///
    /// # Errors
    /// `Invalid` if `step_max` is zero.
    async fn compact(&self, policy: &Retention) -> Result<Compacted>;

    /// Returns how many objects exist, per namespace of each resource, in key order.
    ///
    /// # Behaviour
    /// * Exact at the time of the call; kept by commits, not counted by the call.
    /// * Namespaces without objects are not listed. The internal group counts nothing.
    ///
    /// # Errors
    /// `Invalid` for a scope that names one object or the internal group.
    async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>>;

    /// Returns the newest revision whose changes are all readable, and wakes when it moves.
    ///
    /// # Behaviour
    /// * Never goes back. At or above a revision as soon as its commit was answered to this
    ///   process; other processes of a shared store follow within the store's notification delay.
    /// * `changes` after any lower revision reaches it.
    fn head(&self) -> watch::Receiver<Revision>;
}

macro_rules! forward {
    ($($pointer:tt)+) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<B: StorageBackend + ?Sized> StorageBackend for $($pointer)+ {
            fn info(&self) -> &BackendInfo {
                (**self).info()
            }
            async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>> {
                (**self).commit(transactions).await
            }
            async fn get(&self, key: &ResourceKey, at: Option<Revision>) -> Result<Option<Stored>> {
                (**self).get(key, at).await
            }
            async fn list(&self, query: &ListQuery) -> Result<Page> {
                (**self).list(query).await
            }
            async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
                (**self).changes(query).await
            }
            async fn compact(&self, policy: &Retention) -> Result<Compacted> {
                (**self).compact(policy).await
            }
            async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
                (**self).stats(scope).await
            }
            fn head(&self) -> watch::Receiver<Revision> {
                (**self).head()
            }
        }
    };
}

forward!(Arc<B>);
forward!(Box<B>);
