use std::sync::Arc;

use super::state::State;
use crate::limits::COMPACT_STEP_MAX;
use crate::{Change, Compacted, Error, ResourceKey, Result, Retention, Revision, Timestamp};

impl State {
    /// Drops changes that the policy does not keep, oldest first, and with each change the
    /// revisions of its object that are now too many; then deleted objects that are too old.
    pub(super) fn compact(&mut self, policy: &Retention, now: Timestamp) -> Result<Compacted> {
        if policy.step_max == 0 {
            return Err(Error::invalid("compact", "step_max must be at least 1"));
        }
        let mut step = Step {
            budget: policy.step_max.min(COMPACT_STEP_MAX),
            done: Compacted::default(),
        };
        step.done.more =
            !(self.drop_changes(policy, now, &mut step) && self.drop_trash(policy, now, &mut step));
        step.done.horizon = self.horizon;
        Ok(step.done)
    }

    /// Returns false when the budget ran out before the work did.
    fn drop_changes(&mut self, policy: &Retention, now: Timestamp, step: &mut Step) -> bool {
        while let Some(oldest) = self.changes.front().map(Arc::clone) {
            if !self.may_drop(&oldest, policy, now) {
                return true;
            }
            // The horizon first: what a read at or above it reaches is never dropped.
            self.horizon = self.horizon.max(oldest.object.revision);
            if !self.trim(&oldest.object.key, policy, step) || !step.look() {
                return false;
            }
            self.changes.pop_front();
            step.done.changes += 1;
        }
        true
    }

    fn may_drop(&self, change: &Change, policy: &Retention, now: Timestamp) -> bool {
        let time = change.object.time;
        if change.object.revision <= self.horizon {
            return true;
        }
        if time > now.saturating_sub(policy.changes_age_min) {
            return false;
        }
        let too_old = policy
            .changes_age_max
            .is_some_and(|age| time <= now.saturating_sub(age));
        let too_many = policy
            .changes_max
            .is_some_and(|max| self.changes.len() as u64 > max);
        too_old || too_many
    }

    /// Drops the oldest revisions of an object beyond the policy's number, as far as no read at or
    /// above the horizon reaches them: their successor must not be above it.
    fn trim(&mut self, key: &ResourceKey, policy: &Retention, step: &mut Step) -> bool {
        let Some(keep) = policy.history_per_object else {
            return true;
        };
        let Some(records) = self.records.get_mut(key) else {
            return true;
        };
        while records.len() > keep.max(1) && records[1].revision <= self.horizon {
            if !step.look() {
                return false;
            }
            records.pop_front();
            step.done.history += 1;
        }
        true
    }

    fn drop_trash(&mut self, policy: &Retention, now: Timestamp, step: &mut Step) -> bool {
        let Some(age) = policy.trash_age_max else {
            return true;
        };
        while let Some((revision, key)) = self.trash.first().cloned() {
            if revision > self.horizon || !self.is_older(&key, now.saturating_sub(age)) {
                return true;
            }
            if !self.drop_object(revision, &key, step) {
                return false;
            }
        }
        true
    }

    fn is_older(&self, key: &ResourceKey, than: Timestamp) -> bool {
        let deleted = self.records.get(key).and_then(|records| records.back());
        deleted.is_none_or(|record| record.time <= than)
    }

    /// Drops a deleted object: its revisions oldest first, the deletion record last.
    fn drop_object(&mut self, revision: Revision, key: &ResourceKey, step: &mut Step) -> bool {
        while let Some(records) = self.records.get_mut(key) {
            if !step.look() {
                return false;
            }
            records.pop_front();
            step.done.history += 1;
            if records.is_empty() {
                self.records.remove(key);
            }
        }
        self.trash.remove(&(revision, key.clone()));
        step.done.trash += 1;
        true
    }
}

/// The work of one call.
struct Step {
    budget: usize,
    done: Compacted,
}

impl Step {
    /// Takes one record from the budget; false when it is used up.
    fn look(&mut self) -> bool {
        let left = self.budget > 0;
        self.budget = self.budget.saturating_sub(1);
        left
    }
}
