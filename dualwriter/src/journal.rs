//! Writing both stores: intent in unified, fenced write in legacy, apply in unified.
//!
//! Works on many transactions at a time, so that a call costs three commits however many
//! transactions it has. Each has its own fate.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::{join_all, try_join_all};
use storage_core::{
    Conflict, Error, ErrorKind, Op, Outcome, Precondition, ResourceKey, Result, Revision,
    StorageBackend, StorageBackendExt, Transaction, Write,
};
use tokio::time::Instant;

use crate::bugs::{Bug, planted};
use crate::fence::{Asks, Base, is_refusal};
use crate::inner::Inner;
use crate::intent::{Intent, IntentHeader, IntentOp, Work};
use crate::recovery::Settled;
use crate::view::View;
use crate::{Kind, Mode, Side};

/// How often the legacy part is tried while guesses about bases and epochs turn out wrong.
const LEGACY_ATTEMPTS: usize = 16;

/// One transaction on its way.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) index: usize,
    pub(crate) transaction: Transaction,
    /// One for each kind that it touches; all of one mode.
    pub(crate) views: Vec<Arc<View>>,
}

/// What became of a transaction in one round.
#[derive(Debug)]
pub(crate) enum Step {
    Done(Outcome),
    /// Nothing happened; it has to be tried again.
    Again(Entry),
    Failed(Error),
}

pub(crate) type Steps = Vec<(usize, Step)>;

/// A transaction whose intents are placed.
#[derive(Debug)]
struct Attempt {
    entry: Entry,
    members: Vec<(ResourceKey, Intent)>,
    /// What legacy is believed to hold of each object.
    bases: Vec<Base>,
    /// The revision of its intents, which names the write.
    name: Revision,
    legacy: Revision,
    /// A base was wrong: they are read under the intents from now on.
    read_bases: bool,
}

impl Attempt {
    fn mode(&self) -> Mode {
        self.entry.views[0].mode
    }

    fn object(&self) -> &ResourceKey {
        &self.members[0].0
    }

    /// Returns the objects that it writes, and how.
    fn effects(&self) -> impl Iterator<Item = (&ResourceKey, IntentOp)> {
        let effects = self.members.iter();
        effects
            .map(|(object, intent)| (object, intent.header.op))
            .filter(|(_, op)| *op != IntentOp::Check)
    }
}

impl Inner {
    /// Commits transactions to both stores. No object occurs twice, and each has an effect.
    pub(crate) async fn journal(&self, entries: Vec<Entry>, deadline: Instant) -> Steps {
        let keys: Vec<ResourceKey> = entries
            .iter()
            .flat_map(|entry| entry.transaction.writes.iter().map(|w| w.key.clone()))
            .collect();
        let slots = tokio::time::timeout_at(deadline, self.slots.take(&keys)).await;
        let Ok(_slots) = slots else {
            let context = "other writers of the same objects take too long";
            let error = Error::new(ErrorKind::Unavailable, "commit", context);
            return fail_all(entries, &error);
        };
        let mut steps = Steps::new();
        let (placed, refused) = self.place(entries, &mut steps).await;
        let written = self.write_legacy(placed, &mut steps).await;
        self.write_unified(written, &mut steps).await;
        // Only now: two processes that wait for each other's intents must not hold any.
        for (attempt, conflict) in refused {
            let index = attempt.entry.index;
            let step = self.unplaced(attempt, conflict, deadline).await;
            steps.push((index, step));
        }
        steps
    }

    /// Places the intents: from here on the writes will happen.
    async fn place(
        &self,
        entries: Vec<Entry>,
        steps: &mut Steps,
    ) -> (Vec<Attempt>, Vec<(Attempt, Conflict)>) {
        let mut attempts = Vec::with_capacity(entries.len());
        let mut transactions = Vec::with_capacity(entries.len());
        let prepared = join_all(entries.into_iter().map(|entry| self.prepare(entry))).await;
        for prepared in prepared {
            match prepared {
                Ok((attempt, placing)) => {
                    attempts.push(attempt);
                    transactions.push(placing);
                }
                Err(failed) => steps.push(failed),
            }
        }
        let outcomes = match self.unified.commit(transactions).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                // A definite error: nothing was touched. Else recovery finds what there is.
                for attempt in attempts {
                    steps.push((attempt.entry.index, Step::Failed(error.clone())));
                }
                return (vec![], vec![]);
            }
        };
        let mut placed = Vec::with_capacity(attempts.len());
        let mut refused = Vec::new();
        for (mut attempt, outcome) in attempts.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Committed { revision } => {
                    attempt.name = revision;
                    placed.push(attempt);
                }
                Outcome::Conflict(conflict) => refused.push((attempt, conflict)),
            }
        }
        (placed, refused)
    }

    async fn prepare(&self, entry: Entry) -> Result<(Attempt, Transaction), (usize, Step)> {
        let members = self.members(&entry);
        let bases = members
            .iter()
            .map(|(object, intent)| self.probable_base(object, intent));
        match (try_join_all(bases).await, self.placing(&entry, &members)) {
            (Ok(bases), Ok(placing)) => {
                let attempt = Attempt {
                    entry,
                    members,
                    bases,
                    name: Revision::ZERO,
                    legacy: Revision::ZERO,
                    read_bases: false,
                };
                Ok((attempt, placing))
            }
            (Err(error), _) | (_, Err(error)) => Err((entry.index, Step::Failed(error))),
        }
    }

    /// Decides what to do about a transaction whose intents were refused.
    async fn unplaced(&self, attempt: Attempt, conflict: Conflict, deadline: Instant) -> Step {
        if self.is_epoch_conflict(&conflict) {
            for view in &attempt.entry.views {
                self.forget(&view.kind);
            }
            return Step::Again(attempt.entry);
        }
        if !self.keys.is_intent(&conflict.key) {
            return Step::Done(Outcome::Conflict(conflict));
        }
        for (object, _) in &attempt.members {
            if self.keys.intent(object) == conflict.key {
                // The slot of this object is ours: an intent of this process is an orphan.
                if let Err(error) = self.settle_foreign(object, deadline).await {
                    return Step::Failed(error);
                }
            }
        }
        Step::Again(attempt.entry)
    }

    /// Waits for, or helps, whoever holds the intent on an object whose slot is ours.
    async fn settle_foreign(&self, object: &ResourceKey, deadline: Instant) -> Result<()> {
        let since = Instant::now();
        let mut pause = crate::view::POLL_MIN;
        let mut first = None;
        loop {
            let Some(stored) = self.intent(object).await? else {
                return Ok(());
            };
            if first.is_some_and(|first| first != stored.revision) {
                return Ok(());
            }
            first = Some(stored.revision);
            let orphan = self.owns(Intent::decode(&stored)?.header.owner);
            if orphan || since.elapsed() >= self.options.help_after {
                crate::observe::intent_recovered(&Kind::of(object));
                self.resolve(object, None).await?;
                return Ok(());
            }
            if Instant::now() >= deadline {
                let context = format!("another write to {object} is not finished yet");
                return Err(Error::new(ErrorKind::Unavailable, "commit", context));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(crate::view::POLL_MAX);
        }
    }

    fn members(&self, entry: &Entry) -> Vec<(ResourceKey, Intent)> {
        let now = self.now();
        let transaction = &entry.transaction;
        let view_of = |key: &ResourceKey| {
            let kind = Kind::of(key);
            entry.views.iter().find(|view| view.kind == kind)
        };
        let writes = &transaction.writes;
        let mut members = Vec::with_capacity(writes.len());
        for (position, write) in writes.iter().enumerate() {
            let view = view_of(&write.key).unwrap_or(&entry.views[0]);
            let header = IntentHeader {
                work: match view.mode.read_side() {
                    Side::Legacy => Work::WriteLegacyDecides,
                    Side::Unified => Work::WriteUnifiedDecided,
                },
                first: None,
                owner: self.options.instance.0,
                epoch: view.record.epoch,
                started_ms: now.as_millis(),
                object: write.key.clone(),
                head: writes[0].key.clone(),
                next: writes.get(position + 1).map(|next| next.key.clone()),
                precondition: write.precondition,
                op: IntentOp::from(&write.op),
                at_least: transaction.at_least,
                operation: transaction.operation,
                time: transaction.time.unwrap_or(now),
            };
            let value = write.op.value().cloned().unwrap_or_default();
            members.push((write.key.clone(), Intent { header, value }));
        }
        members
    }

    fn placing(&self, entry: &Entry, members: &[(ResourceKey, Intent)]) -> Result<Transaction> {
        let mut placing = Transaction::default();
        for view in &entry.views {
            placing.writes.push(view.guard(Side::Unified)?);
        }
        for (object, intent) in members {
            placing.writes.push(Write {
                key: self.keys.intent(object),
                precondition: Precondition::Absent,
                op: Op::Put(intent.encode()),
            });
        }
        if entry.views[0].mode.read_side() == Side::Unified {
            for write in &entry.transaction.writes {
                let check = Write::check(write.key.clone(), write.precondition);
                placing.writes.push(check);
            }
        }
        Ok(placing)
    }

    /// Does the legacy part of all transactions, each until it is done, refused or in doubt.
    async fn write_legacy(&self, placed: Vec<Attempt>, steps: &mut Steps) -> Vec<Attempt> {
        let mut todo = placed;
        let mut written = Vec::with_capacity(todo.len());
        for _ in 0..LEGACY_ATTEMPTS {
            if todo.is_empty() {
                return written;
            }
            todo = self.write_legacy_once(todo, &mut written, steps).await;
        }
        for attempt in todo {
            let step = self.finish_alone(&attempt).await;
            steps.push((attempt.entry.index, step));
        }
        written
    }

    async fn write_legacy_once(
        &self,
        mut todo: Vec<Attempt>,
        written: &mut Vec<Attempt>,
        steps: &mut Steps,
    ) -> Vec<Attempt> {
        let parts = join_all(todo.iter_mut().map(|attempt| self.part(attempt))).await;
        let mut attempts = Vec::with_capacity(todo.len());
        let mut transactions = Vec::with_capacity(todo.len());
        for (attempt, part) in todo.into_iter().zip(parts) {
            let step = match part {
                Ok(Part::Write(transaction, asks)) => {
                    transactions.push(transaction);
                    attempts.push((attempt, asks));
                    continue;
                }
                Ok(Part::Passed) => self.finish_alone(&attempt).await,
                Err(error) => self.give_up(&attempt, error).await,
            };
            steps.push((attempt.entry.index, step));
        }
        let outcomes = match self.legacy.commit(transactions).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                for (attempt, _) in attempts {
                    let step = if error.is_indeterminate() {
                        self.finish_alone(&attempt).await
                    } else {
                        self.give_up(&attempt, error.clone()).await
                    };
                    steps.push((attempt.entry.index, step));
                }
                return vec![];
            }
        };
        let mut again = Vec::new();
        for ((mut attempt, asks), outcome) in attempts.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Committed { revision } if asks == Asks::ToWrite => {
                    for (object, op) in attempt.effects() {
                        self.bases.learn(object, Base::after(op, revision));
                    }
                    attempt.legacy = revision;
                    written.push(attempt);
                }
                Outcome::Conflict(conflict) if self.is_epoch_conflict(&conflict) => {
                    for view in &attempt.entry.views {
                        self.forget(&view.kind);
                    }
                    again.push(attempt);
                }
                Outcome::Conflict(conflict) if is_refusal(&attempt.members, &conflict) => {
                    let step = self.refuse(&attempt, conflict).await;
                    steps.push((attempt.entry.index, step));
                }
                Outcome::Committed { .. } | Outcome::Conflict(_) => {
                    attempt.read_bases = true;
                    again.push(attempt);
                }
            }
        }
        again
    }

    /// Returns what legacy has to do for a transaction now.
    async fn part(&self, attempt: &mut Attempt) -> Result<Part> {
        let mut writes = Vec::with_capacity(attempt.members.len() * 2 + 1);
        for view in &attempt.entry.views {
            // Usually the same view; while the mode changes, the record of the change.
            let now = match self.views.read().get(&view.kind) {
                Some(now) if Instant::now() < now.valid_until => Some(Arc::clone(now)),
                Some(_) | None => None,
            };
            let now = match now {
                Some(now) => now,
                None => self.load(&view.kind).await?,
            };
            if !now.allows_finishing(view.record.epoch) {
                return Ok(Part::Passed);
            }
            writes.push(now.guard(Side::Legacy)?);
        }
        // A caller may name a revision that is yet to come: by then the write is refused.
        let guessed = attempt.bases.iter().filter_map(|base| base.revision());
        attempt.read_bases |= guessed.max() >= Some(attempt.name);
        if attempt.read_bases {
            let objects = attempt.members.iter().map(|(object, _)| object);
            let bases = try_join_all(objects.map(|object| self.base(object))).await?;
            // Read while nobody else had the intents: none of it is this write, done by another.
            let intent = self.intent(attempt.object()).await?;
            if intent.is_none_or(|intent| intent.revision != attempt.name) {
                return Ok(Part::Passed);
            }
            for ((object, _), base) in attempt.members.iter().zip(&bases) {
                self.bases.learn(object, *base);
            }
            attempt.bases = bases;
        }
        let (own, asks) = self.legacy_part(&attempt.members, &attempt.bases, attempt.name);
        writes.extend(own);
        let part = Transaction {
            at_least: attempt.entry.transaction.at_least.max(Some(attempt.name)),
            operation: attempt.members[0].1.header.operation,
            time: Some(attempt.members[0].1.header.time),
            writes,
        };
        Ok(Part::Write(part, asks))
    }

    /// Legacy refused: takes the intents back and returns legacy's answer.
    async fn refuse(&self, attempt: &Attempt, conflict: Conflict) -> Step {
        // Not what this write left, done by somebody else: should the intents stay, whoever finds
        // them is refused in the same way.
        let is_older = conflict.actual.is_some_and(|actual| actual < attempt.name);
        match self.take_back(attempt).await {
            Ok(Outcome::Committed { .. }) => Step::Done(Outcome::Conflict(conflict)),
            Ok(_) | Err(_) if is_older => Step::Done(Outcome::Conflict(conflict)),
            Ok(_) | Err(_) => self.finish_alone(attempt).await,
        }
    }

    /// Legacy was not written for certain: takes the intents back and returns legacy's error, or
    /// says that the outcome is open if the intents may have stayed.
    async fn give_up(&self, attempt: &Attempt, error: Error) -> Step {
        match self.take_back(attempt).await {
            Ok(Outcome::Committed { .. }) => Step::Failed(error),
            Ok(Outcome::Conflict(_)) | Err(_) if planted(Bug::DefiniteInDoubt) => {
                Step::Failed(error)
            }
            Ok(Outcome::Conflict(_)) | Err(_) => Step::Failed(in_doubt(attempt).with_source(error)),
        }
    }

    async fn take_back(&self, attempt: &Attempt) -> Result<Outcome> {
        let removal = Transaction {
            writes: self.removals(&attempt.members, attempt.name),
            ..Transaction::default()
        };
        self.unified.commit_one(removal).await
    }

    /// Applies in unified what legacy has.
    async fn write_unified(&self, written: Vec<Attempt>, steps: &mut Steps) {
        let mut transactions = Vec::with_capacity(written.len());
        let mut attempts = Vec::with_capacity(written.len());
        for attempt in written {
            if planted(Bug::AnswerBeforeApply) {
                let revision = attempt.legacy;
                steps.push((
                    attempt.entry.index,
                    Step::Done(Outcome::Committed { revision }),
                ));
                continue;
            }
            transactions.push(self.apply(&attempt.members, attempt.name, attempt.legacy));
            attempts.push(attempt);
        }
        match self.unified.commit(transactions).await {
            Ok(outcomes) => {
                for (attempt, outcome) in attempts.into_iter().zip(outcomes) {
                    let step = match outcome {
                        Outcome::Committed { revision } => Step::Done(Outcome::Committed {
                            revision: by_read_side(attempt.mode(), attempt.legacy, revision),
                        }),
                        Outcome::Conflict(_) => self.finish_alone(&attempt).await,
                    };
                    steps.push((attempt.entry.index, step));
                }
            }
            Err(_) => {
                for attempt in attempts {
                    let step = self.finish_alone(&attempt).await;
                    steps.push((attempt.entry.index, step));
                }
            }
        }
    }

    /// Finds out what became of a write whose fate is not known, or says that it is open.
    async fn finish_alone(&self, attempt: &Attempt) -> Step {
        match self.resolve_own(attempt.object(), attempt.name).await {
            Ok(Settled::Done { legacy, unified }) => Step::Done(Outcome::Committed {
                revision: by_read_side(attempt.mode(), legacy, unified),
            }),
            Ok(Settled::Refused(conflict)) if attempt.legacy == Revision::ZERO => {
                Step::Done(Outcome::Conflict(conflict))
            }
            Ok(_) => Step::Failed(in_doubt(attempt)),
            Err(error) => Step::Failed(in_doubt(attempt).with_source(error)),
        }
    }

    /// Answers transactions that only check, in the store that decides.
    pub(crate) async fn check_only(&self, entry: Entry, deadline: Instant) -> Step {
        let side = entry.views[0].mode.read_side();
        let mut check = entry.transaction.clone();
        let mut guards = Vec::new();
        for view in &entry.views {
            match view.guard(side) {
                Ok(guard) => guards.push(guard),
                Err(error) => return Step::Failed(error),
            }
        }
        if side == Side::Unified {
            for write in &check.writes {
                let intent = self.keys.intent(&write.key);
                guards.push(Write::check(intent, Precondition::Absent));
            }
        }
        check.writes.splice(0..0, guards);
        match self.store(side).commit_one(check).await {
            Ok(Outcome::Conflict(conflict)) if self.is_epoch_conflict(&conflict) => {
                for view in &entry.views {
                    self.forget(&view.kind);
                }
                Step::Again(entry)
            }
            Ok(Outcome::Conflict(conflict)) if self.keys.is_intent(&conflict.key) => {
                let keys: BTreeSet<ResourceKey> = entry
                    .transaction
                    .writes
                    .iter()
                    .map(|w| w.key.clone())
                    .collect();
                for object in keys {
                    let slot = self.slots.take(std::slice::from_ref(&object)).await;
                    let settled = self.settle_foreign(&object, deadline).await;
                    drop(slot);
                    if let Err(error) = settled {
                        return Step::Failed(error);
                    }
                }
                Step::Again(entry)
            }
            Ok(outcome) => Step::Done(outcome),
            Err(error) => Step::Failed(error),
        }
    }
}

enum Part {
    Write(Transaction, Asks),
    /// Somebody else has done it, or the epoch is over.
    Passed,
}

/// Returns the revision that callers of a mode see.
fn by_read_side(mode: Mode, legacy: Revision, unified: Revision) -> Revision {
    match mode.read_side() {
        Side::Legacy => legacy,
        Side::Unified => unified,
    }
}

fn in_doubt(attempt: &Attempt) -> Error {
    let context = format!(
        "the write to {} is begun and will be finished or refused within seconds",
        attempt.object()
    );
    Error::new(ErrorKind::Indeterminate, "commit", context)
}

fn fail_all(entries: Vec<Entry>, error: &Error) -> Steps {
    let failed = |entry: Entry| (entry.index, Step::Failed(error.clone()));
    entries.into_iter().map(failed).collect()
}

/// Returns the bytes that the intents of a transaction add to its values, at most.
pub(crate) fn intent_bytes(transaction: &Transaction) -> usize {
    const HEADER_BYTES: usize = 512;
    let names = |key: &ResourceKey| {
        let parts = [key.group(), key.resource(), key.namespace(), key.name()];
        // Three names in each header, and JSON escapes.
        6 * parts.iter().map(|part| part.len()).sum::<usize>()
    };
    let headers = transaction
        .writes
        .iter()
        .map(|w| HEADER_BYTES + names(&w.key));
    transaction.value_bytes() + headers.sum::<usize>()
}
