//! Changing the mode of a kind: one change at a time, resumable at each step by any process.

use std::fmt;

use serde::Serialize;
use storage_core::{
    Error, ErrorKind, ListQuery, Op, Outcome, Precondition, ResourceKey, Result, Revision,
    StorageBackend, StorageBackendExt, Transaction, Write,
};
use tokio::time::{Instant, sleep};

use crate::bugs::{Bug, planted};
use crate::inner::Inner;
use crate::record::{
    Coverage, Forced, InstanceRecord, ModeChange, ModeRecord, ReadsMeanwhile, SyncRecord,
    from_json, to_json,
};
use crate::view::{Copy, POLL_MAX, POLL_MIN, View};
use crate::{Kind, Mode, Side, observe};

/// How often a change starts again because another process works on it, too.
const CHANGE_ATTEMPTS: usize = 16;
/// Fences that are removed with one commit.
const FENCES_PAGE: usize = 200;

/// What a change of mode did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The mode before.
    pub from: Mode,
    /// The mode now.
    pub to: Mode,
}

/// Why a change of mode did not happen.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TransitionError {
    /// A gate is shut.
    #[error("{0}")]
    Refused(Refusal),
    /// A store failed. The change may have begun; asking again goes on with it.
    #[error(transparent)]
    Storage(#[from] Error),
}

/// A gate that is shut, and how to open it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The mode now.
    pub from: u8,
    /// The mode that was asked for.
    pub to: u8,
    /// Which gate.
    pub gate: Gate,
    /// What opens it.
    pub how: String,
}

/// What stands before a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// A completed sync in this epoch, with nothing failed since.
    Sync,
    /// A completed reverse sync, or the explicit acceptance of loss.
    ReverseSync,
    /// A request by somebody: a configuration does not lower a mode.
    Configuration,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gate = match self.gate {
            Gate::Sync => "sync",
            Gate::ReverseSync => "reverse sync",
            Gate::Configuration => "configuration",
        };
        write!(
            f,
            "mode {} to {} is refused, the {gate} gate is shut: {}",
            self.from, self.to, self.how
        )
    }
}

/// How a gate was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// There is none, or its condition is met.
    Rightly,
    /// It was opened by hand, or there is none and objects may be missing all the same.
    ByForce,
}

/// Decides whether a kind may change to a mode.
pub(crate) fn gate(
    record: &ModeRecord,
    sync: &SyncRecord,
    to: Mode,
    forced: Forced,
) -> Result<Passed, Refusal> {
    let from = Mode::ALL[usize::from(record.mode.min(5))];
    let synced = sync.complete_epoch == Some(steady_epoch(record));
    let covered = record.coverage == Coverage::Complete;
    let refusal = |gate: Gate, how: &str| {
        // Mode 5 has no sync: what cleared the mark was of a mode before it.
        let of_this = gate == Gate::Sync && from != Mode::Five && !synced;
        let cleared = sync.cleared.as_ref().filter(|_| of_this);
        let cleared = cleared.map(|why| format!(" (the mark was cleared: {why})"));
        Err(Refusal {
            from: from.number(),
            to: to.number(),
            gate,
            how: format!("{how}{}", cleared.unwrap_or_default()),
        })
    };
    let legacy_misses_writes = match from {
        Mode::Zero | Mode::One | Mode::Two => false,
        Mode::Three => Side::from(record.authority) == Side::Unified && !covered,
        Mode::Four | Mode::Five => true,
    };
    match (from, to) {
        (_, Mode::Five) if is_complete(record, synced, from) => Ok(Passed::Rightly),
        // It asks for nothing, but what was never synced is missing then.
        (_, Mode::Five) => Ok(Passed::ByForce),
        (Mode::Four | Mode::Five, Mode::Zero | Mode::One | Mode::Two | Mode::Three)
        | (Mode::Three, Mode::Zero | Mode::One | Mode::Two)
            if legacy_misses_writes =>
        {
            match forced {
                _ if synced => Ok(Passed::Rightly),
                _ if from >= Mode::Four && !covered && to == Mode::Three => refusal(
                    Gate::ReverseSync,
                    "unified misses what was never synced, and would be the truth in mode 3 as \
                         well; change to mode 2 or below and accept the loss of what was written \
                         since legacy was left: --accept-loss or spec.acceptLoss",
                ),
                Forced::AcceptLoss => Ok(Passed::ByForce),
                Forced::No | Forced::SkipSync if from >= Mode::Four && !covered => refusal(
                    Gate::ReverseSync,
                    "legacy misses what was written since it was left, and unified misses what \
                     was never synced, so neither can be made equal to the other; accept the loss \
                     of what was written since: --accept-loss or spec.acceptLoss",
                ),
                Forced::No | Forced::SkipSync => refusal(
                    Gate::ReverseSync,
                    "legacy misses what was written since it was left; run a sync, which goes \
                     from unified to legacy in this mode, or accept the loss: --accept-loss or \
                     spec.acceptLoss",
                ),
            }
        }
        (Mode::Zero | Mode::One, Mode::Three | Mode::Four) => match forced {
            Forced::SkipSync => Ok(Passed::ByForce),
            Forced::No | Forced::AcceptLoss => refusal(
                Gate::Sync,
                "change to mode 2 first and complete a sync there, or go without one: --skip-sync, \
                 spec.skipSync or skip_data_sync",
            ),
        },
        (Mode::Two, Mode::Three | Mode::Four) => match forced {
            _ if synced => Ok(Passed::Rightly),
            Forced::SkipSync => Ok(Passed::ByForce),
            Forced::No | Forced::AcceptLoss => refusal(
                Gate::Sync,
                "complete a sync in this mode, or go without one: --skip-sync, spec.skipSync or \
                 skip_data_sync",
            ),
        },
        (Mode::Five, Mode::Four) => match forced {
            _ if covered => Ok(Passed::Rightly),
            Forced::SkipSync => Ok(Passed::ByForce),
            Forced::No | Forced::AcceptLoss => refusal(
                Gate::Sync,
                "unified misses what was never synced, and mode 5 has no sync that could bring it; \
                 change to mode 2 or below and accept the loss of what was written since legacy \
                 was left, or go without a sync: spec.skipSync or skip_data_sync",
            ),
        },
        (Mode::Three, Mode::Four) => match forced {
            _ if synced || covered || Side::from(record.authority) == Side::Unified => {
                Ok(Passed::Rightly)
            }
            Forced::SkipSync => Ok(Passed::ByForce),
            Forced::No | Forced::AcceptLoss => refusal(
                Gate::Sync,
                "unified was never known to be complete; complete a sync, or go without one: \
                 --skip-sync, spec.skipSync or skip_data_sync",
            ),
        },
        _ => Ok(Passed::Rightly),
    }
}

/// Tells whether unified is known to have every object as a kind leaves a mode.
fn is_complete(record: &ModeRecord, synced: bool, from: Mode) -> bool {
    // Only a complete unified comes down to mode 3 as the truth.
    let is_truth = from == Mode::Three && Side::from(record.authority) == Side::Unified;
    // In mode 1 a write may be in legacy alone, and its process gone, after the mark was set.
    (synced && from >= Mode::Two)
        || is_truth
        || (record.coverage == Coverage::Complete && from >= Mode::Three)
}

/// The epoch in which a sync counts: that before the change in progress.
fn steady_epoch(record: &ModeRecord) -> u64 {
    record.epoch - u64::from(record.change.is_some())
}

/// Tells whether a store has a part in a mode that a change must respect.
fn takes_part(mode: Mode, side: Side) -> bool {
    mode.writes_reach(side)
}

impl Inner {
    /// Changes the mode of a kind; finishes a change in progress first.
    pub(crate) async fn set_mode(
        &self,
        kind: &Kind,
        to: Mode,
        forced: Forced,
    ) -> Result<Transition, TransitionError> {
        let mut from = None;
        for _ in 0..CHANGE_ATTEMPTS {
            let view = self.load(kind).await?;
            let first = *from.get_or_insert(view.mode);
            if view.is_changing() {
                match self.finish_change(kind).await {
                    // Somebody else's order, which is not this one's answer.
                    Err(TransitionError::Refused(refusal)) if refusal.to != to.number() => {}
                    finished => finished?,
                }
                continue;
            }
            if view.mode == to {
                return Ok(Transition { from: first, to });
            }
            let needs_unified =
                takes_part(view.mode, Side::Unified) || takes_part(to, Side::Unified);
            let sync = if needs_unified {
                self.sync_record(kind).await?.0
            } else {
                SyncRecord::default()
            };
            gate(&view.record, &sync, to, forced).map_err(TransitionError::Refused)?;
            // Both stores must answer before writes are held up.
            for side in [Side::Legacy, Side::Unified] {
                if takes_part(view.mode, side) || takes_part(to, side) {
                    self.newest(side).await?;
                }
            }
            self.begin_change(&view, to, forced).await?;
        }
        let context = format!("other changes of the mode of {kind} are in the way");
        Err(Error::new(ErrorKind::Unavailable, "change the mode", context).into())
    }

    /// Records that a change has begun, if the kind is still as the gate found it. From here on no
    /// writes of the old epoch are taken.
    async fn begin_change(&self, view: &View, to: Mode, forced: Forced) -> Result<()> {
        let kind = &view.kind;
        let Some((record, home, copy)) = self.decisive(kind).await? else {
            return Ok(());
        };
        if record.epoch != view.record.epoch {
            return Ok(());
        }
        let begun = ModeRecord {
            epoch: record.epoch + 1,
            change: Some(ModeChange {
                to: to.number(),
                forced,
                by: self.options.instance.to_string(),
                at_ms: self.now().as_millis(),
                reads: ReadsMeanwhile::Answered,
            }),
            ..record
        };
        self.propagate(kind, home, &begun, &copy).await
    }

    /// Goes through the steps of a change that has begun, whoever began it.
    pub(crate) async fn finish_change(&self, kind: &Kind) -> Result<(), TransitionError> {
        let Some((record, home, copy)) = self.decisive(kind).await? else {
            return Ok(());
        };
        let Some(change) = record.change.clone() else {
            return Ok(());
        };
        let (from, to) = (record.mode()?, Mode::from_number(change.to)?);
        let sides: Vec<Side> = [Side::Legacy, Side::Unified]
            .into_iter()
            .filter(|side| takes_part(from, *side) || takes_part(to, *side))
            .collect();
        for side in &sides {
            if *side != home && !self.bring_up(kind, *side, &record).await? {
                return Ok(());
            }
        }
        self.load(kind).await?;
        self.await_acknowledgement(kind, home, record.epoch).await?;
        let unified_used = sides.contains(&Side::Unified);
        if unified_used && !planted(Bug::NoDrain) {
            self.drain(kind).await?;
        }
        let sync = if unified_used {
            self.sync_record(kind).await?.0
        } else {
            SyncRecord::default()
        };
        let passed = match gate(&record, &sync, to, change.forced) {
            Ok(passed) => passed,
            Err(refusal) => {
                // The mark was cleared after the change began.
                let back = ModeRecord {
                    epoch: record.epoch + 1,
                    change: None,
                    ..record
                };
                self.propagate(kind, home, &back, &copy).await?;
                return Err(TransitionError::Refused(refusal));
            }
        };
        let goes_back = from.read_side() == Side::Unified && !takes_part(from, Side::Legacy);
        if goes_back && takes_part(to, Side::Legacy) && passed == Passed::Rightly {
            let view = self.load(kind).await?;
            if view.record.epoch != record.epoch {
                return Ok(());
            }
            if !planted(Bug::NoReverseDelta) {
                self.reverse_delta(&view, Revision::new(sync.through))
                    .await?;
            }
        }
        let Some(copy) = self.hold_reads(kind, home, copy, from, to).await? else {
            return Ok(());
        };
        self.raise_journal(to).await?;
        let floor = self.raise_new_reader(&record, from, to).await?;
        let done = next_record(&record, &sync, from, to, passed, floor);
        self.flip(kind, home, &copy, &done, &sides).await?;
        if passed == Passed::ByForce {
            let forced = change.forced;
            tracing::warn!(%kind, %from, %to, ?forced, "a gate was passed by force");
        }
        tracing::info!(%kind, %from, %to, epoch = done.epoch, "the mode changed");
        observe::transition(kind, from, to);
        observe::mode(kind, to);
        Ok(())
    }

    /// Gives a store the record of the change; false if the record is out of date.
    async fn bring_up(&self, kind: &Kind, side: Side, record: &ModeRecord) -> Result<bool> {
        for _ in 0..CHANGE_ATTEMPTS {
            let copy = self.copy(kind, side).await?;
            match copy.record.as_ref().map(|known| known.epoch) {
                Some(epoch) if epoch == record.epoch => return Ok(true),
                Some(epoch) if epoch > record.epoch => return Ok(false),
                Some(_) | None => self.propagate(kind, side, record, &copy).await?,
            }
        }
        Ok(false)
    }

    /// Waits until every process that answers reads knows of the change, or can no longer rely on
    /// what it knew before.
    async fn await_acknowledgement(&self, kind: &Kind, home: Side, epoch: u64) -> Result<()> {
        if planted(Bug::NoAcknowledgement) {
            return Ok(());
        }
        // A quarter more, for clocks that run at different speeds.
        let lapsed = Instant::now() + self.options.lease * 5 / 4;
        let id = kind.id();
        let mut pause = POLL_MIN;
        loop {
            let silent = self.silent_instances(home, &id, epoch).await?;
            if silent.is_empty() {
                return Ok(());
            }
            if Instant::now() >= lapsed {
                for (key, revision) in silent {
                    let gone = Precondition::Revision(revision);
                    let remove = Transaction::delete(key, gone, "");
                    self.store(home).commit_one(remove).await?;
                }
                return Ok(());
            }
            sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
        }
    }

    async fn silent_instances(
        &self,
        home: Side,
        id: &str,
        epoch: u64,
    ) -> Result<Vec<(ResourceKey, Revision)>> {
        let mut query = ListQuery::live(self.keys.all_instances());
        let mut silent = Vec::new();
        loop {
            let page = self.store(home).list(&query).await?;
            for stored in &page.items {
                let record: InstanceRecord = from_json(stored)?;
                if record.acknowledged.get(id).copied().unwrap_or(0) < epoch {
                    silent.push((stored.key.clone(), stored.revision));
                }
            }
            match page.next {
                Some(cursor) => query = query.after(cursor),
                None => return Ok(silent),
            }
        }
    }

    /// Finishes every write that has begun. No new ones begin.
    async fn drain(&self, kind: &Kind) -> Result<()> {
        let deadline = Instant::now() + self.options.patience * 2;
        let mut pause = POLL_MIN;
        loop {
            let objects = self.intents_in(&kind.scope()).await?;
            if objects.is_empty() {
                return Ok(());
            }
            for object in &objects {
                self.settle(object, deadline).await?;
            }
            if Instant::now() >= deadline {
                let context = format!("{} writes of {kind} are not finished yet", objects.len());
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "change the mode",
                    context,
                ));
            }
            sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
        }
    }

    /// Has reads wait if the change is one of side; none if somebody else went on with it.
    ///
    /// A floor that is chosen while the old side still answers is too low: other kinds, and reads
    /// themselves, raise that side meanwhile, and a watch that saw the raised revision would go on
    /// with the new side as if it had seen it.
    async fn hold_reads(
        &self,
        kind: &Kind,
        home: Side,
        copy: Copy,
        from: Mode,
        to: Mode,
    ) -> Result<Option<Copy>> {
        let Some(mut record) = copy.record.clone() else {
            return Ok(None);
        };
        let Some(change) = &mut record.change else {
            return Ok(None);
        };
        if from.read_side() == to.read_side() || change.reads == ReadsMeanwhile::Held {
            return Ok(Some(copy));
        }
        change.reads = ReadsMeanwhile::Held;
        let put = Transaction::put(self.keys.mode(kind), copy.unchanged(), to_json(&record));
        let outcome = self.store(home).commit_one(put).await?;
        Ok(outcome.revision().map(|revision| Copy {
            record: Some(record),
            revision: Some(revision),
        }))
    }

    /// Lifts the revisions of the store that is read from now on above those of the other one, so
    /// that no caller sees them step back. Returns the floor of the new epoch.
    async fn raise_new_reader(&self, record: &ModeRecord, from: Mode, to: Mode) -> Result<u64> {
        if from.read_side() == to.read_side() || planted(Bug::NoRaise) {
            return Ok(record.floor);
        }
        let old = self.newest(from.read_side()).await?;
        let new = self.newest(to.read_side()).await?;
        let floor = old.max(new).next();
        let raised = self.raise(to.read_side(), floor).await?;
        self.publish(raised);
        Ok(floor.get())
    }

    /// Lifts unified's revisions to legacy's where a mode writes both: the name that a write gets
    /// from unified is then above legacy's revision of the object, and legacy's revision of that
    /// write is not below its name, which is how recovery tells the two apart. Every write of the
    /// mode keeps it so.
    pub(crate) async fn raise_journal(&self, mode: Mode) -> Result<()> {
        if takes_part(mode, Side::Legacy) && takes_part(mode, Side::Unified) {
            let newest = self.newest(Side::Legacy).await?;
            self.raise(Side::Unified, newest).await?;
        }
        Ok(())
    }

    /// Puts the new mode into force: first where the old mode was decided, then where the new one
    /// is. Whoever comes between carries it on.
    async fn flip(
        &self,
        kind: &Kind,
        home: Side,
        copy: &Copy,
        done: &ModeRecord,
        sides: &[Side],
    ) -> Result<()> {
        let put = Transaction::put(self.keys.mode(kind), copy.unchanged(), to_json(done));
        if let Outcome::Conflict(_) = self.store(home).commit_one(put).await? {
            return Ok(());
        }
        for side in sides {
            if *side != home {
                self.bring_up(kind, *side, done).await?;
            }
        }
        self.load(kind).await?;
        if !takes_part(Mode::from_number(done.mode)?, Side::Unified) {
            self.drop_fences(kind, done).await;
        }
        Ok(())
    }

    /// Removes the fences of a kind that is not journaled any more. They cost room only, so what
    /// is left by an error is left.
    async fn drop_fences(&self, kind: &Kind, done: &ModeRecord) {
        let Ok(copy) = self.copy(kind, Side::Legacy).await else {
            return;
        };
        if copy.record.as_ref() != Some(done) {
            return;
        }
        let query = ListQuery::live(self.keys.fences_of(kind)).limit(FENCES_PAGE);
        while let Ok(page) = self.legacy.list(&query).await {
            let mut removal =
                Transaction::from(Write::check(self.keys.mode(kind), copy.unchanged()));
            for stored in &page.items {
                removal.writes.push(Write {
                    key: stored.key.clone(),
                    precondition: Precondition::Any,
                    op: Op::Delete(bytes::Bytes::new()),
                });
            }
            let removed = self.legacy.commit_one(removal).await;
            let removed = removed.is_ok_and(|outcome| outcome.revision().is_some());
            if !removed || page.next.is_none() {
                return;
            }
        }
    }
}

fn next_record(
    record: &ModeRecord,
    sync: &SyncRecord,
    from: Mode,
    to: Mode,
    passed: Passed,
    floor: u64,
) -> ModeRecord {
    let synced = sync.complete_epoch == Some(steady_epoch(record));
    let known = is_complete(record, synced, from);
    let coverage = match to {
        Mode::Zero | Mode::One | Mode::Two => Coverage::Partial,
        Mode::Three | Mode::Four | Mode::Five if known && passed == Passed::Rightly => {
            Coverage::Complete
        }
        Mode::Three | Mode::Four | Mode::Five => Coverage::Partial,
    };
    let authority = match (from, to) {
        (_, Mode::Zero | Mode::One | Mode::Two) => Side::Legacy,
        (_, Mode::Four | Mode::Five) => Side::Unified,
        (Mode::Four | Mode::Five, Mode::Three) => Side::Unified,
        (Mode::Zero | Mode::One | Mode::Two | Mode::Three, Mode::Three) => Side::Legacy,
    };
    ModeRecord {
        mode: to.number(),
        epoch: record.epoch + 1,
        change: None,
        floor,
        authority: authority.into(),
        coverage,
        ..record.clone()
    }
}
