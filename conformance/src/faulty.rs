use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use storage_core::{
    BackendInfo, Changes, ChangesQuery, Compacted, Error, ErrorKind, ListQuery, Outcome, Page,
    ResourceKey, ResourceStats, Result, Retention, Revision, Scope, StorageBackend, Stored,
    Transaction,
};
use tokio::sync::{Notify, watch};

use crate::traffic::Dice;

/// The calls that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// [`StorageBackend::commit`].
    Commit,
    /// [`StorageBackend::get`].
    Get,
    /// [`StorageBackend::list`].
    List,
    /// [`StorageBackend::changes`].
    Changes,
    /// [`StorageBackend::compact`].
    Compact,
    /// [`StorageBackend::stats`].
    Stats,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Get => "get",
            Self::List => "list",
            Self::Changes => "changes",
            Self::Compact => "compact",
            Self::Stats => "stats",
        }
    }

    const fn writes(self) -> bool {
        matches!(self, Self::Commit | Self::Compact)
    }
}

/// What goes wrong with one call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Fails without an effect, and says so: `Unavailable`.
    FailBefore,
    /// Has its effect and fails: `Indeterminate` for a write, `Unavailable` for a read.
    FailAfter,
    /// Fails without an effect, which nobody knows: `Indeterminate` for a write.
    FailUnknown,
    /// Waits at the gate, then has its effect.
    HoldBefore(Gate),
    /// Has its effect, then waits at the gate before it answers.
    HoldAfter(Gate),
    /// Crashes the backend without an effect: this call and all further ones fail.
    CrashBefore,
    /// Has its effect, and crashes the backend before it answers.
    CrashAfter,
}

/// A place where a call waits until it is let go.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<GateState>);

#[derive(Debug)]
struct GateState {
    reached: watch::Sender<bool>,
    released: watch::Sender<bool>,
}

impl Default for GateState {
    fn default() -> Self {
        Self {
            reached: watch::Sender::new(false),
            released: watch::Sender::new(false),
        }
    }
}

impl Gate {
    /// Waits until a call is at the gate.
    pub async fn reached(&self) {
        wait_until_set(&self.0.reached).await;
    }

    /// Lets the call at the gate go on, and every later one.
    pub fn release(&self) {
        self.0.released.send_replace(true);
    }

    async fn pass(&self) {
        self.0.reached.send_replace(true);
        wait_until_set(&self.0.released).await;
    }
}

async fn wait_until_set(flag: &watch::Sender<bool>) {
    let set = flag.subscribe().wait_for(|set| *set).await.map(drop);
    debug_assert!(set.is_ok(), "the sender is borrowed, so it is not gone");
}

/// How often a call goes wrong, in thousandths, by what goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// [`Fault::FailBefore`].
    pub fail_before: usize,
    /// [`Fault::FailAfter`], of writes.
    pub fail_after: usize,
    /// [`Fault::FailUnknown`], of writes.
    pub fail_unknown: usize,
    /// [`Fault::CrashBefore`].
    pub crash_before: usize,
    /// [`Fault::CrashAfter`].
    pub crash_after: usize,
}

/// The handle by which a test says what goes wrong and sees what was called.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<FaultsState>);

#[derive(Debug, Default)]
struct FaultsState {
    plan: Mutex<Plan>,
    crashed: Notify,
}

#[derive(Debug, Default)]
struct Plan {
    /// By operation, the faults of calls to come, by the number of the call.
    script: BTreeMap<(Operation, u64), Fault>,
    calls: BTreeMap<Operation, u64>,
    random: Option<(Dice, Rates)>,
    crashed: bool,
}

impl Faults {
    /// Makes the next call of an operation go wrong.
    pub fn next(&self, operation: Operation, fault: Fault) {
        self.after(0, operation, fault);
    }

    /// Makes a call of an operation go wrong that comes after `calls` others of it.
    pub fn after(&self, calls: u64, operation: Operation, fault: Fault) {
        let mut plan = self.0.plan.lock();
        let number = plan.calls.get(&operation).copied().unwrap_or(0) + calls;
        plan.script.insert((operation, number), fault);
    }

    /// Holds the next call of an operation before its effect; returns where it waits.
    #[must_use]
    pub fn hold_next(&self, operation: Operation) -> Gate {
        let gate = Gate::default();
        self.next(operation, Fault::HoldBefore(gate.clone()));
        gate
    }

    /// Makes calls go wrong by chance, as the seed has it, where no script says what happens.
    pub fn at_random(&self, seed: u64, rates: Rates) {
        self.0.plan.lock().random = Some((Dice::new(seed), rates));
    }

    /// Makes nothing go wrong from now on; a crashed backend works again, as after a restart.
    pub fn heal(&self) {
        let mut plan = self.0.plan.lock();
        plan.script.clear();
        plan.random = None;
        plan.crashed = false;
    }

    /// Crashes the backend: every call fails until [`heal`](Self::heal).
    pub fn crash(&self) {
        self.0.plan.lock().crashed = true;
        self.0.crashed.notify_waiters();
    }

    /// Tells whether the backend crashed.
    #[must_use]
    pub fn is_crashed(&self) -> bool {
        self.0.plan.lock().crashed
    }

    /// Waits until the backend crashes.
    pub async fn crashed(&self) {
        let crashed = self.0.crashed.notified();
        if !self.is_crashed() {
            crashed.await;
        }
    }

    /// Returns how often an operation was called, failed calls included.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> u64 {
        self.0
            .plan
            .lock()
            .calls
            .get(&operation)
            .copied()
            .unwrap_or(0)
    }

    /// Counts a call and decides over it.
    fn decide(&self, operation: Operation) -> Result<Option<Fault>> {
        let mut plan = self.0.plan.lock();
        let calls = plan.calls.entry(operation).or_default();
        let number = *calls;
        *calls += 1;
        if plan.crashed {
            return Err(failed(
                operation,
                ErrorKind::Unavailable,
                "the backend crashed",
            ));
        }
        let scripted = plan.script.remove(&(operation, number));
        Ok(scripted.or_else(|| plan.roll(operation)))
    }
}

impl Plan {
    fn roll(&mut self, operation: Operation) -> Option<Fault> {
        let (dice, rates) = self.random.as_mut()?;
        let mut rest = dice.roll(1_000);
        let of_writes = |rate| if operation.writes() { rate } else { 0 };
        let faults = [
            (rates.fail_before, Fault::FailBefore),
            (of_writes(rates.fail_after), Fault::FailAfter),
            (of_writes(rates.fail_unknown), Fault::FailUnknown),
            (rates.crash_before, Fault::CrashBefore),
            (rates.crash_after, Fault::CrashAfter),
        ];
        for (rate, fault) in faults {
            if rest < rate {
                return Some(fault);
            }
            rest -= rate;
        }
        None
    }
}

/// A backend that fails where it is told to.
#[derive(Debug)]
pub struct Faulty<B> {
    inner: B,
    faults: Faults,
}

impl<B: StorageBackend> Faulty<B> {
    /// Wraps a backend. Nothing goes wrong until the handle says so.
    #[must_use]
    pub fn new(inner: B) -> Self {
        Self::with(inner, Faults::default())
    }

    /// Wraps a backend under a handle that exists: a restarted backend keeps its script.
    #[must_use]
    pub const fn with(inner: B, faults: Faults) -> Self {
        Self { inner, faults }
    }

    /// Returns the handle.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    /// Returns the backend inside, which never fails: what is really there.
    #[must_use]
    pub const fn inner(&self) -> &B {
        &self.inner
    }

    async fn call<T: Send>(
        &self,
        operation: Operation,
        effect: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let unknown = match operation.writes() {
            true => ErrorKind::Indeterminate,
            false => ErrorKind::Unavailable,
        };
        match self.faults.decide(operation)? {
            None => effect.await,
            Some(Fault::FailBefore) => {
                Err(failed(operation, ErrorKind::Unavailable, "failed before"))
            }
            Some(Fault::FailAfter) => {
                effect.await?;
                Err(failed(operation, unknown, "failed after the effect"))
            }
            Some(Fault::FailUnknown) => Err(failed(operation, unknown, "failed, who knows where")),
            Some(Fault::HoldBefore(gate)) => {
                gate.pass().await;
                self.alive(operation)?;
                effect.await
            }
            Some(Fault::HoldAfter(gate)) => {
                let answer = effect.await;
                gate.pass().await;
                answer
            }
            Some(Fault::CrashBefore) => {
                self.faults.crash();
                Err(failed(operation, unknown, "crashed before the effect"))
            }
            Some(Fault::CrashAfter) => {
                let effect = effect.await;
                self.faults.crash();
                effect?;
                Err(failed(operation, unknown, "crashed after the effect"))
            }
        }
    }

    fn alive(&self, operation: Operation) -> Result<()> {
        if self.faults.is_crashed() {
            return Err(failed(
                operation,
                ErrorKind::Unavailable,
                "the backend crashed",
            ));
        }
        Ok(())
    }
}

fn failed(operation: Operation, kind: ErrorKind, why: &str) -> Error {
    Error::new(kind, operation.name(), format!("injected fault: {why}"))
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: StorageBackend> StorageBackend for Faulty<B> {
    fn info(&self) -> &BackendInfo {
        self.inner.info()
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>> {
        let effect = self.inner.commit(transactions);
        self.call(Operation::Commit, effect).await
    }

    async fn get(&self, key: &ResourceKey, at: Option<Revision>) -> Result<Option<Stored>> {
        self.call(Operation::Get, self.inner.get(key, at)).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page> {
        self.call(Operation::List, self.inner.list(query)).await
    }

    async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        self.call(Operation::Changes, self.inner.changes(query))
            .await
    }

    async fn compact(&self, policy: &Retention) -> Result<Compacted> {
        self.call(Operation::Compact, self.inner.compact(policy))
            .await
    }

    async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        self.call(Operation::Stats, self.inner.stats(scope)).await
    }

    /// The head of a crashed backend stands still and has no sender.
    fn head(&self) -> watch::Receiver<Revision> {
        if self.faults.is_crashed() {
            let last = *self.inner.head().borrow();
            return watch::Sender::new(last).subscribe();
        }
        self.inner.head()
    }
}

#[cfg(test)]
mod tests {
    use storage_core::{Memory, StorageBackendExt};

    use super::*;
    use crate::step::key;

    fn faulty() -> (Arc<Faulty<Memory>>, Faults) {
        let store = Arc::new(Faulty::new(Memory::new()));
        let faults = store.faults();
        (store, faults)
    }

    async fn create(store: &Faulty<Memory>, name: &str) -> Result<Revision> {
        store.create(key(name), "1".into()).await
    }

    async fn is_there(store: &Faulty<Memory>, name: &str) -> bool {
        store.inner().get(&key(name), None).await.unwrap().is_some()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_fault_fails_as_it_says() {
        for (fault, kind, effect, crashed) in [
            (Fault::FailBefore, ErrorKind::Unavailable, false, false),
            (Fault::FailAfter, ErrorKind::Indeterminate, true, false),
            (Fault::FailUnknown, ErrorKind::Indeterminate, false, false),
            (Fault::CrashBefore, ErrorKind::Indeterminate, false, true),
            (Fault::CrashAfter, ErrorKind::Indeterminate, true, true),
        ] {
            let (store, faults) = faulty();
            faults.next(Operation::Commit, fault.clone());
            let error = create(&store, "a").await.unwrap_err();
            assert_eq!(error.kind(), kind, "{fault:?}");
            assert_eq!(is_there(&store, "a").await, effect, "{fault:?}");
            assert_eq!(faults.is_crashed(), crashed, "{fault:?}");
            assert_eq!(create(&store, "b").await.is_ok(), !crashed, "{fault:?}");
            faults.heal();
            create(&store, "c").await.unwrap();
            assert_eq!(faults.calls(Operation::Commit), 3);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_held_call_waits_for_its_release() {
        let (store, faults) = faulty();
        let gate = faults.hold_next(Operation::Commit);
        let task = {
            let store = Arc::clone(&store);
            tokio::spawn(async move { create(&store, "a").await })
        };
        gate.reached().await;
        assert!(!is_there(&store, "a").await);
        create(&store, "b").await.unwrap();
        gate.release();
        task.await.unwrap().unwrap();
        assert!(is_there(&store, "a").await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_script_counts_the_calls_of_its_operation() {
        let (store, faults) = faulty();
        faults.after(2, Operation::Commit, Fault::FailBefore);
        faults.next(Operation::Get, Fault::FailBefore);
        create(&store, "a").await.unwrap();
        assert!(store.get(&key("a"), None).await.is_err());
        create(&store, "b").await.unwrap();
        assert!(create(&store, "c").await.is_err());
        create(&store, "c").await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_same_seed_fails_the_same_calls() {
        let mut runs = Vec::new();
        for _ in 0..2 {
            let (store, faults) = faulty();
            let rates = Rates {
                fail_before: 100,
                fail_after: 100,
                fail_unknown: 100,
                ..Rates::default()
            };
            faults.at_random(42, rates);
            let mut kinds = Vec::new();
            for number in 0..200 {
                let result = create(&store, &number.to_string()).await;
                kinds.push(result.err().map(|error| error.kind()));
            }
            runs.push(kinds);
        }
        assert_eq!(runs[0], runs[1]);
        let failed = runs[0].iter().flatten().count();
        assert!(
            (20..120).contains(&failed),
            "{failed} of 200 failed at a rate of 0.3"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_crashed_backend_has_a_closed_head() {
        let (store, faults) = faulty();
        let at = create(&store, "a").await.unwrap();
        faults.crash();
        faults.crashed().await;
        let mut head = store.head();
        assert_eq!(*head.borrow(), at);
        assert!(head.changed().await.is_err());
        assert!(store.stats(&Scope::All).await.is_err());
    }
}
