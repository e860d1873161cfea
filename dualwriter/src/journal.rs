//! Writing both stores: intent in unified, fenced write in legacy, apply in unified.
//!
//! Works on many transactions at a time, so that a call costs three commits however many
//! transactions it has. Each has its own fate.

use std::collections::BTreeSet;
use std::sync::Arc;

use storage_core::{
    Conflict, Error, ErrorKind, Op, Outcome, Precondition, ResourceKey, Result, Revision,
    StorageBackend, StorageBackendExt, Transaction, Write,
};
use tokio::time::Instant;

use crate::bugs::{Bug, planted};
use crate::fence::Fence;
use crate::inner::Inner;
use crate::record::{Intent, IntentHeader, ObjectName, StoredOp, Work};
use crate::recovery::Settled;
use crate::view::View;
use crate::{Kind, Mode, Side};

/// How often the legacy part is tried while guesses about fences and epochs turn out wrong.
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
    /// The revision of its intents, which names the write.
    name: Revision,
    legacy: Revision,
    /// A guess about a fence was wrong: they are read from now on.
    read_fences: bool,
}

impl Attempt {
    fn mode(&self) -> Mode {
        self.entry.views[0].mode
    }

    fn object(&self) -> &ResourceKey {
        &self.members[0].0
    }

    fn effects(&self) -> impl Iterator<Item = &ResourceKey> {
        let effects = self.members.iter();
        effects
            .filter(|(_, intent)| intent.header.op != StoredOp::Check)
            .map(|(object, _)| object)
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
        for entry in entries {
            let members = self.members(&entry);
            match self.placing(&entry, &members) {
                Ok(placing) => transactions.push(placing),
                Err(error) => {
                    steps.push((entry.index, Step::Failed(error)));
                    continue;
                }
            }
            attempts.push(Attempt {
                entry,
                members,
                name: Revision::ZERO,
                legacy: Revision::ZERO,
                read_fences: false,
            });
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
        let names: Vec<ObjectName> = transaction.writes.iter().map(|w| (&w.key).into()).collect();
        let view_of = |key: &ResourceKey| {
            let kind = Kind::of(key);
            entry.views.iter().find(|view| view.kind == kind)
        };
        let mut members = Vec::with_capacity(names.len());
        for (position, write) in transaction.writes.iter().enumerate() {
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
                object: names[position].clone(),
                head: names[0].clone(),
                next: names.get(position + 1).cloned(),
                precondition: write.precondition.into(),
                op: match &write.op {
                    Op::Put(_) => StoredOp::Put,
                    Op::Delete(_) => StoredOp::Delete,
                    Op::Check => StoredOp::Check,
                },
                at_least: transaction.at_least.map(Revision::get),
                operation: transaction.operation.0,
                time_ms: transaction.time.unwrap_or(now).as_millis(),
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
        todo: Vec<Attempt>,
        written: &mut Vec<Attempt>,
        steps: &mut Steps,
    ) -> Vec<Attempt> {
        let mut attempts = Vec::with_capacity(todo.len());
        let mut transactions = Vec::with_capacity(todo.len());
        for attempt in todo {
            match self.legacy_part(&attempt).await {
                Ok(Part::Write(transaction)) => {
                    transactions.push(transaction);
                    attempts.push(attempt);
                }
                Ok(Part::Passed) => {
                    let step = self.finish_alone(&attempt).await;
                    steps.push((attempt.entry.index, step));
                }
                Err(error) => {
                    let step = self.give_up(&attempt, error).await;
                    steps.push((attempt.entry.index, step));
                }
            }
        }
        let outcomes = match self.legacy.commit(transactions).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                for attempt in attempts {
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
        for (mut attempt, outcome) in attempts.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Committed { revision } => {
                    for object in attempt.effects() {
                        self.fences.learn(object, revision);
                    }
                    attempt.legacy = revision;
                    written.push(attempt);
                }
                Outcome::Conflict(conflict) if self.is_epoch_conflict(&conflict) => {
                    again.push(attempt);
                }
                Outcome::Conflict(conflict) if self.keys.is_fence(&conflict.key) => {
                    for object in attempt.effects() {
                        self.fences.forget(object);
                    }
                    attempt.read_fences = true;
                    again.push(attempt);
                }
                Outcome::Conflict(conflict) => {
                    let step = self.refuse(&attempt, conflict).await;
                    steps.push((attempt.entry.index, step));
                }
            }
        }
        for attempt in &again {
            for view in &attempt.entry.views {
                self.forget(&view.kind);
            }
        }
        again
    }

    async fn legacy_part(&self, attempt: &Attempt) -> Result<Part> {
        let mut part = Transaction {
            at_least: attempt.entry.transaction.at_least.max(Some(attempt.name)),
            operation: attempt.members[0].1.operation(),
            time: Some(attempt.members[0].1.time()),
            writes: Vec::with_capacity(attempt.members.len() * 2 + 1),
        };
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
            part.writes.push(now.guard(Side::Legacy)?);
        }
        for (object, intent) in &attempt.members {
            if intent.header.op == StoredOp::Check {
                continue;
            }
            let unchanged = match self.fences.guess(object) {
                Some(guess) => guess,
                None if intent.write()?.precondition == Precondition::Absent
                    && !attempt.read_fences =>
                {
                    Precondition::Absent
                }
                None => match self.fence(object).await? {
                    Some(fence) if fence.write >= attempt.name => return Ok(Part::Passed),
                    fence => Fence::unchanged(fence),
                },
            };
            part.writes
                .push(self.fencing(object, attempt.name, unchanged));
        }
        part.writes.extend(self.legacy_writes(&attempt.members)?);
        Ok(Part::Write(part))
    }

    /// Legacy refused for certain: takes the intents back and returns legacy's answer. Should the
    /// intents stay, whoever finds them is refused in the same way, as nobody else wrote since.
    async fn refuse(&self, attempt: &Attempt, conflict: Conflict) -> Step {
        let _ = self.take_back(attempt).await;
        Step::Done(Outcome::Conflict(conflict))
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
            match self.apply(&attempt.members, attempt.name, attempt.legacy) {
                Ok(transaction) => {
                    transactions.push(transaction);
                    attempts.push(attempt);
                }
                Err(error) => steps.push((attempt.entry.index, Step::Failed(error))),
            }
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
    Write(Transaction),
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
