//! Writes: which way each transaction goes, in order, with an outcome of its own.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use storage_core::limits::COMMIT_BYTES_MAX;
use storage_core::{
    Error, ErrorKind, Op, Outcome, Precondition, ResourceKey, Result, Revision, StorageBackendExt,
    Transaction, Write,
};
use tokio::time::Instant;

use crate::inner::Inner;
use crate::journal::{Entry, Step, Steps, intent_bytes};
use crate::mode::Writes;
use crate::observe::{Operation, Status};
use crate::view::View;
use crate::{Kind, Mode, Side};

/// Which way a transaction goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    /// To one store.
    Direct(Side),
    /// To both, by the journal.
    Journal,
    /// To the store that decides, which only has to check.
    Check,
    /// It has no writes.
    Empty,
}

/// A transaction whose way is known.
#[derive(Debug)]
struct Routed {
    entry: Entry,
    route: Route,
    /// The transaction as the caller gave it, where it was rewritten.
    original: Option<Transaction>,
}

impl Inner {
    /// Commits a transaction of one kind to the only store that its mode writes: no journal, no
    /// queue and nothing to look up. None if it has to go the long way; then nothing happened.
    pub(crate) async fn commit_at_once(
        &self,
        transaction: &Transaction,
    ) -> Result<Option<Outcome>> {
        let Some(first) = transaction.writes.first() else {
            return Ok(None);
        };
        let group_resource = first.key.group_resource();
        let alike = |w: &Write| w.key.group_resource() == group_resource;
        let Some(view) = self.steady_of(group_resource) else {
            return Ok(None);
        };
        let side = match view.mode.policy().writes {
            Writes::Legacy => Side::Legacy,
            Writes::Unified => Side::Unified,
            Writes::LegacyThenQueue
            | Writes::JournalLegacyDecides
            | Writes::JournalUnifiedDecides => return Ok(None),
        };
        if !transaction.writes.iter().all(alike) {
            return Ok(None);
        }
        let answer = self
            .store(side)
            .commit_one(guarded(transaction, [view.guard(side)?]))
            .await;
        if let Ok(Outcome::Conflict(conflict)) = &answer
            && self.is_epoch_conflict(conflict)
        {
            self.forget(&view.kind);
            return Ok(None);
        }
        view.count(Operation::Commit, status(answer.as_ref()));
        answer.map(Some)
    }

    /// Commits transactions, each by the mode of the kinds that it touches.
    pub(crate) async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>> {
        let deadline = Instant::now() + self.options.patience;
        let mut outcomes: Vec<Option<Outcome>> = vec![None; transactions.len()];
        let mut pending: VecDeque<(usize, Transaction)> =
            transactions.into_iter().enumerate().collect();
        let mut carried: Option<Routed> = None;
        while carried.is_some() || !pending.is_empty() {
            let run = self.next_run(&mut carried, &mut pending, deadline).await;
            let run = run.map_err(|error| mixed(&outcomes, error))?;
            let mut again = Vec::new();
            let mut failure: Option<Error> = None;
            for (index, step) in self.commit_run(run, deadline).await {
                match step {
                    Step::Done(outcome) => outcomes[index] = Some(outcome),
                    Step::Again(entry) => again.push((index, entry.transaction)),
                    Step::Failed(error) => failure = Some(worse(failure, error)),
                }
            }
            if let Some(error) = failure {
                return Err(mixed(&outcomes, error));
            }
            if !again.is_empty() {
                if Instant::now() >= deadline {
                    let context = "other writers and changes of mode take too long";
                    let error = Error::new(ErrorKind::Unavailable, "commit", context);
                    return Err(mixed(&outcomes, error));
                }
                again.sort_by_key(|(index, _)| *index);
                if let Some(routed) = carried.take() {
                    pending.push_front((routed.entry.index, routed.original()));
                }
                again
                    .into_iter()
                    .rev()
                    .for_each(|item| pending.push_front(item));
            }
        }
        let outcomes: Option<Vec<Outcome>> = outcomes.into_iter().collect();
        outcomes
            .ok_or_else(|| Error::new(ErrorKind::Internal, "commit", "a transaction was forgotten"))
    }

    /// Takes the longest run of transactions that go the same way and share no object.
    async fn next_run(
        &self,
        carried: &mut Option<Routed>,
        pending: &mut VecDeque<(usize, Transaction)>,
        deadline: Instant,
    ) -> Result<Vec<Routed>> {
        let mut run: Vec<Routed> = Vec::new();
        let mut keys: BTreeSet<ResourceKey> = BTreeSet::new();
        let mut bytes = 0;
        loop {
            let next = match carried.take() {
                Some(routed) => routed,
                None => match pending.pop_front() {
                    Some((index, transaction)) => {
                        self.route(index, transaction, !run.is_empty(), deadline)
                            .await?
                    }
                    None => return Ok(run),
                },
            };
            let own = next.entry.transaction.writes.iter().map(|w| &w.key);
            let next_bytes = intent_bytes(&next.entry.transaction);
            let fits = match run.first() {
                None => true,
                Some(first) => {
                    first.route == next.route
                        && match next.route {
                            // One store keeps the order itself.
                            Route::Direct(_) => true,
                            Route::Journal => {
                                !own.clone().any(|key| keys.contains(key))
                                    && bytes + next_bytes <= COMMIT_BYTES_MAX
                            }
                            Route::Check | Route::Empty => false,
                        }
                }
            };
            if !fits {
                *carried = Some(next);
                return Ok(run);
            }
            keys.extend(own.cloned());
            bytes += next_bytes;
            run.push(next);
        }
    }

    async fn route(
        &self,
        index: usize,
        transaction: Transaction,
        behind_others: bool,
        deadline: Instant,
    ) -> Result<Routed> {
        let kinds: BTreeSet<Kind> = transaction
            .writes
            .iter()
            .map(|w| Kind::of(&w.key))
            .collect();
        let mut views = Vec::with_capacity(kinds.len());
        for kind in kinds {
            views.push(self.writable(&kind, deadline).await?);
        }
        let entry = Entry {
            index,
            transaction,
            views,
        };
        let Some(first) = entry.views.first() else {
            return Ok(Routed::new(entry, Route::Empty));
        };
        let writes = first.mode.policy().writes;
        if let Some(odd) = entry
            .views
            .iter()
            .find(|v| v.mode.policy().writes != writes)
        {
            let context = format!(
                "one transaction writes {} in mode {} and {} in mode {}, only modes that write \
                 alike are allowed",
                first.kind, first.mode, odd.kind, odd.mode
            );
            return Err(Error::new(ErrorKind::Unsupported, "commit", context));
        }
        match writes {
            Writes::Legacy | Writes::LegacyThenQueue => {
                Ok(Routed::new(entry, Route::Direct(Side::Legacy)))
            }
            Writes::Unified => Ok(Routed::new(entry, Route::Direct(Side::Unified))),
            Writes::JournalLegacyDecides | Writes::JournalUnifiedDecides => {
                self.route_journal(entry, behind_others).await
            }
        }
    }

    /// Sorts out transactions that change nothing: they leave no trace, intents included.
    async fn route_journal(&self, entry: Entry, behind_others: bool) -> Result<Routed> {
        let writes = &entry.transaction.writes;
        let puts = writes.iter().any(|w| matches!(w.op, Op::Put(_)));
        if puts {
            return Ok(Routed::new(entry, Route::Journal));
        }
        if behind_others && writes.iter().any(|w| matches!(w.op, Op::Delete(_))) {
            // An earlier transaction of the call may create what this one deletes: looked at again
            // when it is first in its run.
            return Ok(Routed::new(entry, Route::Check));
        }
        // Unified decides, by what only legacy may have.
        let fetched = self.fetch_unsynced(std::slice::from_ref(&entry)).await;
        if let Err(error) = fetched {
            if self.all_hold(std::slice::from_ref(&entry)).await? {
                return Err(error);
            }
            // Looked at again in the mode that is in force by then.
            return Ok(Routed::new(entry, Route::Check));
        }
        let mut checks = entry.transaction.clone();
        for write in &mut checks.writes {
            if let (Op::Delete(_), Precondition::Any | Precondition::Absent) =
                (&write.op, write.precondition)
            {
                let side = entry.views[0].mode.read_side();
                if self.store(side).get(&write.key, None).await?.is_some()
                    && write.precondition == Precondition::Any
                {
                    return Ok(Routed::new(entry, Route::Journal));
                }
                *write = Write::check(write.key.clone(), Precondition::Absent);
            } else if write.op != Op::Check {
                return Ok(Routed::new(entry, Route::Journal));
            }
        }
        Ok(Routed {
            original: Some(entry.transaction.clone()),
            entry: Entry {
                transaction: checks,
                ..entry
            },
            route: Route::Check,
        })
    }

    async fn commit_run(&self, run: Vec<Routed>, deadline: Instant) -> Steps {
        let Some(first) = run.first() else {
            return vec![];
        };
        match first.route {
            Route::Direct(side) => {
                let entries = run.into_iter().map(|routed| routed.entry).collect();
                self.commit_direct(side, entries).await
            }
            Route::Journal => {
                let entries: Vec<Entry> = run.into_iter().map(|routed| routed.entry).collect();
                let views: Vec<Arc<View>> = entries.iter().flat_map(|e| e.views.clone()).collect();
                if let Err(error) = self.fetch_unsynced(&entries).await {
                    let overtaken = matches!(self.all_hold(&entries).await, Ok(false));
                    let step = |entry: Entry| match overtaken {
                        true => (entry.index, Step::Again(entry)),
                        false => (entry.index, Step::Failed(error.clone())),
                    };
                    return entries.into_iter().map(step).collect();
                }
                let steps = self.journal(entries, deadline).await;
                self.count(&views, &steps);
                steps
            }
            Route::Check => {
                let mut steps = Steps::new();
                for routed in run {
                    let (index, original) = (routed.entry.index, routed.original);
                    let step = match original {
                        Some(original) => {
                            self.check_rewritten(routed.entry, original, deadline).await
                        }
                        None => Step::Again(routed.entry),
                    };
                    steps.push((index, step));
                }
                steps
            }
            Route::Empty => {
                let mut steps = Steps::new();
                for routed in run {
                    let step = self.commit_empty(&routed.entry.transaction).await;
                    let step = step.map_or_else(Step::Failed, Step::Done);
                    steps.push((routed.entry.index, step));
                }
                steps
            }
        }
    }

    /// A condition that was made stricter may fail where the caller's holds: then it was overtaken.
    async fn check_rewritten(
        &self,
        entry: Entry,
        original: Transaction,
        deadline: Instant,
    ) -> Step {
        let (index, views) = (entry.index, entry.views.clone());
        match self.check_only(entry, deadline).await {
            Step::Done(Outcome::Conflict(conflict)) => {
                let asked = original.writes.iter().find(|w| w.key == conflict.key);
                let overtaken = asked.is_some_and(|w| w.precondition.holds(conflict.actual));
                if overtaken {
                    return Step::Again(Entry {
                        index,
                        transaction: original,
                        views,
                    });
                }
                Step::Done(Outcome::Conflict(conflict))
            }
            Step::Again(entry) => Step::Again(Entry {
                transaction: original,
                ..entry
            }),
            step @ (Step::Done(_) | Step::Failed(_)) => step,
        }
    }

    async fn commit_direct(&self, side: Side, entries: Vec<Entry>) -> Steps {
        let mut transactions = Vec::with_capacity(entries.len());
        for entry in &entries {
            let guards = entry.views.iter().map(|view| view.guard(side));
            match guards.collect::<Result<Vec<_>>>() {
                Ok(guards) => transactions.push(guarded(&entry.transaction, guards)),
                Err(error) => return vec![(entry.index, Step::Failed(error))],
            }
        }
        let views: Vec<Arc<View>> = entries.iter().flat_map(|e| e.views.clone()).collect();
        let steps = match self.store(side).commit(transactions).await {
            Ok(outcomes) => entries
                .into_iter()
                .zip(outcomes)
                .map(|(entry, outcome)| (entry.index, self.direct_step(entry, outcome)))
                .collect(),
            Err(error) => {
                if error.is_indeterminate() {
                    entries.iter().for_each(|entry| self.queue_behind(entry));
                }
                let failed = |entry: Entry| (entry.index, Step::Failed(error.clone()));
                entries.into_iter().map(failed).collect()
            }
        };
        self.count(&views, &steps);
        steps
    }

    /// Has the background look at what a transaction wrote, or may have written, in mode 1.
    fn queue_behind(&self, entry: &Entry) {
        for view in entry.views.iter().filter(|view| view.mode == Mode::One) {
            let of_kind = |w: &&Write| Kind::of(&w.key) == view.kind && w.op != Op::Check;
            let written = entry.transaction.writes.iter().filter(of_kind);
            self.queue.push_writes(written.map(|w| w.key.clone()));
        }
    }

    fn direct_step(&self, entry: Entry, outcome: Outcome) -> Step {
        if let Outcome::Conflict(conflict) = &outcome
            && self.is_epoch_conflict(conflict)
        {
            for view in &entry.views {
                self.forget(&view.kind);
            }
            return Step::Again(entry);
        }
        if outcome.revision().is_some() {
            self.queue_behind(&entry);
        }
        Step::Done(outcome)
    }

    /// Raises the stores that the default mode uses; nothing else can be asked without a key.
    async fn commit_empty(&self, transaction: &Transaction) -> Result<Outcome> {
        let mode = self.default.mode()?;
        let side = mode.read_side();
        if mode.writes_reach(side.other()) {
            self.store(side.other())
                .commit_one(transaction.clone())
                .await?;
        }
        self.store(side).commit_one(transaction.clone()).await
    }

    fn count(&self, views: &[Arc<View>], steps: &Steps) {
        let Some(view) = views.first() else {
            return;
        };
        for (_, step) in steps {
            let answer = match step {
                Step::Done(outcome) => Ok(outcome),
                Step::Again(_) => continue,
                Step::Failed(error) => Err(error),
            };
            view.count(Operation::Commit, status(answer));
        }
    }
}

impl Routed {
    fn new(entry: Entry, route: Route) -> Self {
        Self {
            entry,
            route,
            original: None,
        }
    }

    fn original(self) -> Transaction {
        self.original.unwrap_or(self.entry.transaction)
    }
}

/// Returns a transaction that comes to nothing unless the guards hold.
fn guarded(transaction: &Transaction, guards: impl IntoIterator<Item = Write>) -> Transaction {
    let writes = guards.into_iter().chain(transaction.writes.iter().cloned());
    Transaction {
        writes: writes.collect(),
        ..*transaction
    }
}

/// Names an answer in the metrics.
fn status(answer: Result<&Outcome, &Error>) -> Status {
    match answer {
        Ok(Outcome::Committed { .. }) => Status::Ok,
        Ok(Outcome::Conflict(_)) => Status::Conflict,
        Err(error) if error.is_indeterminate() => Status::Indeterminate,
        Err(_) => Status::Error,
    }
}

/// Of two errors of one call the one that says more: an open outcome outweighs a definite one.
fn worse(known: Option<Error>, error: Error) -> Error {
    match known {
        Some(known) if known.is_indeterminate() || !error.is_indeterminate() => known,
        Some(_) | None => error,
    }
}

/// Returns the error of a whole call: open if a part of it was committed.
fn mixed(outcomes: &[Option<Outcome>], error: Error) -> Error {
    let committed = |outcome: &Option<Outcome>| {
        outcome
            .as_ref()
            .is_some_and(|outcome| outcome.revision().is_some())
    };
    if error.is_indeterminate() || !outcomes.iter().any(committed) {
        return error;
    }
    let context = "some transactions of the call were committed, others failed";
    Error::new(ErrorKind::Indeterminate, "commit", context).with_source(error)
}

/// Returns the newest revision of outcomes.
pub(crate) fn newest(outcomes: &[Outcome]) -> Option<Revision> {
    outcomes.iter().filter_map(Outcome::revision).max()
}
