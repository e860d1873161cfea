use std::collections::HashMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use storage_core::limits::COMPACT_STEP_MAX;
use storage_core::{Compacted, Error, Result, Retention, Revision, Timestamp};

use crate::engine::{Batch, Direction, KvEngine, KvView};
use crate::keyspace::{
    ObjectBytes, deleted_from, log_from, parse_deleted_row, parse_history_row, parse_log_row,
};
use crate::record::{ChangeHeader, DeletedHeader, State, unseal};
use crate::store::{Store, Writer};

/// Records that are dropped by one durable write, at most. Between two of them writers come in.
const SLICE_MAX: usize = 512;

/// The work of one call of `compact`.
#[derive(Debug)]
pub(crate) struct Step {
    policy: Retention,
    now: Timestamp,
    /// Records that this call may still look at.
    budget: usize,
    done: Compacted,
    finished: bool,
}

impl Step {
    pub(crate) fn new(policy: &Retention, now: Timestamp) -> Result<Self> {
        if policy.step_max == 0 {
            return Err(Error::invalid("compact", "step_max must be at least 1"));
        }
        Ok(Self {
            policy: policy.clone(),
            now,
            budget: policy.step_max.min(COMPACT_STEP_MAX),
            done: Compacted::default(),
            finished: false,
        })
    }

    pub(crate) fn finished(&self) -> Option<Compacted> {
        self.finished.then_some(self.done)
    }
}

impl<E: KvEngine> Store<E> {
    /// Does a part of a step by one durable write.
    pub(crate) fn compact_slice(&self, mut step: Step, writer: &mut Writer) -> Result<Step> {
        self.usable("compact")?;
        let view = self.engine.view()?;
        let mut slice = Slice {
            view: &view,
            policy: &step.policy,
            now: step.now,
            budget: step.budget.min(SLICE_MAX),
            state: **writer,
            batch: Batch::default(),
            done: step.done,
            trims: HashMap::new(),
        };
        let granted = slice.budget;
        let is_done = slice.drop_changes()? && slice.drop_trash()?;
        let Slice {
            batch,
            state,
            budget,
            done,
            ..
        } = slice;
        // A view may lock out the write.
        drop(view);
        self.publish("compact", writer, state, batch)?;
        step.done = done;
        step.done.horizon = Revision::new(state.horizon);
        step.done.more = !is_done;
        step.budget -= granted - budget;
        step.finished = is_done || step.budget == 0;
        Ok(step)
    }
}

/// Drops changes that the policy does not keep, oldest first, and with each change the revisions
/// of its object that are now too many; then deleted objects that are too old.
///
/// The horizon moves in the same write that drops what it hides.
struct Slice<'a, V> {
    view: &'a V,
    policy: &'a Retention,
    now: Timestamp,
    budget: usize,
    state: State,
    batch: Batch,
    done: Compacted,
    trims: HashMap<ObjectBytes, Trim>,
}

/// Where trimming an object's history stands.
struct Trim {
    /// Replaced revisions are dropped from here,
    from: Revision,
    /// up to the oldest revision that the policy keeps.
    keep_from: Revision,
}

impl<V: KvView> Slice<'_, V> {
    /// Returns false when the budget ran out before the work did.
    fn drop_changes(&mut self) -> Result<bool> {
        let mut is_done = true;
        let range = log_from(Revision::ZERO);
        let view = self.view;
        view.scan(
            &range.start..&range.end,
            Direction::Forward,
            &mut |key, row| {
                let (header, object) = unseal::<ChangeHeader>(key, &Bytes::copy_from_slice(row))?;
                let revision = parse_log_row(key)?;
                if !self.may_drop(revision, Timestamp::from_millis(header.time_ms)) {
                    return Ok(ControlFlow::Break(()));
                }
                // The horizon first: what a read at or above it reaches is never dropped.
                self.state.horizon = self.state.horizon.max(revision.get());
                if !self.trim(ObjectBytes::from_bytes(&object))? || !self.look() {
                    is_done = false;
                    return Ok(ControlFlow::Break(()));
                }
                self.batch.remove(key.to_vec());
                self.state.changes = self.state.changes.saturating_sub(1);
                self.done.changes += 1;
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(is_done)
    }

    fn may_drop(&self, revision: Revision, time: Timestamp) -> bool {
        if revision.get() <= self.state.horizon {
            return true;
        }
        if time > self.now.saturating_sub(self.policy.changes_age_min) {
            return false;
        }
        let age_max = self.policy.changes_age_max;
        let too_old = age_max.is_some_and(|age| time <= self.now.saturating_sub(age));
        let changes_max = self.policy.changes_max;
        let too_many = changes_max.is_some_and(|max| self.state.changes > max);
        too_old || too_many
    }

    /// Drops the oldest revisions of an object beyond the policy's number, as far as no read at or
    /// above the horizon reaches them: their successor must not be above it.
    fn trim(&mut self, object: ObjectBytes) -> Result<bool> {
        let Some(keep) = self.policy.history_per_object else {
            return Ok(true);
        };
        let mut trim = match self.trims.remove(&object) {
            Some(trim) => trim,
            None => Trim {
                from: Revision::ZERO,
                keep_from: self.oldest_kept(&object, keep)?,
            },
        };
        let is_done = self.drop_replaced(&object, &mut trim)?;
        self.trims.insert(object, trim);
        Ok(is_done)
    }

    /// Returns the oldest of the newest `keep` revisions; one of them is not in the history.
    fn oldest_kept(&self, object: &ObjectBytes, keep: usize) -> Result<Revision> {
        let range = object.history_range(Revision::ZERO..Revision::MAX);
        let mut left = keep.max(1) - 1;
        let mut oldest = Revision::MAX;
        let mut is_all = true;
        self.view.scan(
            &range.start..&range.end,
            Direction::Backward,
            &mut |key, _| {
                if left == 0 {
                    is_all = false;
                    return Ok(ControlFlow::Break(()));
                }
                left -= 1;
                oldest = parse_history_row(key)?.1;
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(if is_all { Revision::ZERO } else { oldest })
    }

    fn drop_replaced(&mut self, object: &ObjectBytes, trim: &mut Trim) -> Result<bool> {
        let range = object.history_range(trim.from..trim.keep_from);
        let mut is_done = true;
        let view = self.view;
        view.scan(
            &range.start..&range.end,
            Direction::Forward,
            &mut |key, _| {
                let revision = parse_history_row(key)?.1;
                let next = self.successor(object, revision)?;
                if next.get() > self.state.horizon {
                    return Ok(ControlFlow::Break(()));
                }
                if !self.look() {
                    is_done = false;
                    return Ok(ControlFlow::Break(()));
                }
                self.batch.remove(key.to_vec());
                trim.from = revision.next();
                self.done.history += 1;
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(is_done)
    }

    /// Returns the revision that replaced a replaced one.
    fn successor(&self, object: &ObjectBytes, revision: Revision) -> Result<Revision> {
        let range = object.history_range(revision.next()..Revision::MAX);
        let mut successor = None;
        self.view.scan(
            &range.start..&range.end,
            Direction::Forward,
            &mut |key, _| {
                successor = Some(parse_history_row(key)?.1);
                Ok(ControlFlow::Break(()))
            },
        )?;
        match successor {
            Some(successor) => Ok(successor),
            None => self.newest_revision(object),
        }
    }

    fn newest_revision(&self, object: &ObjectBytes) -> Result<Revision> {
        for row_key in [object.current(), object.trash()] {
            if let Some(newest) = crate::get::read_record(self.view, &row_key)? {
                return Ok(newest.revision());
            }
        }
        let context = format!("{} has history but no newest record", object.to_key()?);
        Err(Error::new(
            storage_core::ErrorKind::Corrupt,
            "compact",
            context,
        ))
    }

    fn drop_trash(&mut self) -> Result<bool> {
        let Some(age) = self.policy.trash_age_max else {
            return Ok(true);
        };
        let mut is_done = true;
        let range = deleted_from(Revision::ZERO);
        let view = self.view;
        view.scan(
            &range.start..&range.end,
            Direction::Forward,
            &mut |key, row| {
                let (revision, object) = parse_deleted_row(key)?;
                let (header, _) = unseal::<DeletedHeader>(key, &Bytes::copy_from_slice(row))?;
                let time = Timestamp::from_millis(header.time_ms);
                let is_old = time <= self.now.saturating_sub(age);
                if revision.get() > self.state.horizon || !is_old {
                    return Ok(ControlFlow::Break(()));
                }
                if !self.drop_object(&ObjectBytes::from_bytes(object))? {
                    is_done = false;
                    return Ok(ControlFlow::Break(()));
                }
                self.batch.remove(key.to_vec());
                self.done.trash += 1;
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(is_done)
    }

    /// Drops a deleted object: its revisions oldest first, the deletion record last.
    fn drop_object(&mut self, object: &ObjectBytes) -> Result<bool> {
        let from = self
            .trims
            .get(object)
            .map_or(Revision::ZERO, |trim| trim.from);
        let range = object.history_range(from..Revision::MAX);
        let mut is_done = true;
        let view = self.view;
        view.scan(
            &range.start..&range.end,
            Direction::Forward,
            &mut |key, _| {
                if !self.look() {
                    is_done = false;
                    return Ok(ControlFlow::Break(()));
                }
                self.batch.remove(key.to_vec());
                self.done.history += 1;
                Ok(ControlFlow::Continue(()))
            },
        )?;
        if !is_done || !self.look() {
            return Ok(false);
        }
        self.batch.remove(object.trash());
        self.done.history += 1;
        Ok(true)
    }

    /// Takes one record from the budget; false when it is used up.
    fn look(&mut self) -> bool {
        let left = self.budget > 0;
        self.budget = self.budget.saturating_sub(1);
        left
    }
}
