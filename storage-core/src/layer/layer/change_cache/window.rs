use std::collections::VecDeque;
use std::sync::Arc;

use super::ChangeCacheLimits;
use crate::{Change, Changes, ChangesQuery, Revision};

/// Every change in `(start, end]`, whole revisions only.
pub(super) struct Window {
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
    start: Revision,
    end: Revision,
    horizon: Revision,
    limits: ChangeCacheLimits,
}

impl Window {
    pub(super) const fn new(at: Revision, limits: ChangeCacheLimits) -> Self {
        Self {
            changes: VecDeque::new(),
            bytes: 0,
            start: at,
            end: at,
            horizon: Revision::ZERO,
            limits,
        }
    }

    pub(super) const fn start(&self) -> Revision {
        self.start
    }

    pub(super) const fn end(&self) -> Revision {
        self.end
    }

    /// Adds what the store answered for all changes after `end`.
    pub(super) fn extend(&mut self, answer: Changes) {
        self.bytes += answer.changes.iter().map(|c| bytes(c)).sum::<usize>();
        self.changes.extend(answer.changes);
        self.end = answer.through;
        while self.changes.len() > self.limits.changes || self.bytes > self.limits.bytes {
            let Some(oldest) = self.changes.front() else {
                break;
            };
            self.drop_through(oldest.object.revision);
        }
        self.drop_through(self.horizon);
    }

    /// Starts anew, after a gap.
    pub(super) fn restart(&mut self, at: Revision) {
        *self = Self {
            horizon: self.horizon,
            ..Self::new(at, self.limits)
        };
    }

    /// Forgets what the store has compacted, now and when it arrives late.
    pub(super) fn compact(&mut self, horizon: Revision) {
        self.horizon = self.horizon.max(horizon);
        self.drop_through(self.horizon);
    }

    fn drop_through(&mut self, revision: Revision) {
        self.start = self.start.max(revision.min(self.end));
        while let Some(oldest) = self.changes.front() {
            if oldest.object.revision > self.start {
                break;
            }
            self.bytes -= bytes(oldest);
            self.changes.pop_front();
        }
    }

    /// Answers a query; none if the window does not reach back to it.
    pub(super) fn changes(&self, query: &ChangesQuery) -> Option<Changes> {
        if query.after < self.start || query.after > self.end {
            return None;
        }
        let after = |change: &Arc<Change>| change.object.revision <= query.after;
        let newer = self.changes.range(self.changes.partition_point(after)..);
        let mut answer = Changes {
            changes: Vec::new(),
            through: self.end,
        };
        let mut bytes = 0;
        for change in newer.filter(|change| query.scope.contains(&change.object.key)) {
            let full = answer.changes.len() >= query.changes_max() || bytes >= query.bytes_max();
            let last = answer.changes.last().map(|last| last.object.revision);
            if let Some(last) = last.filter(|last| full && *last != change.object.revision) {
                answer.through = last;
                break;
            }
            bytes += change.object.value.len();
            answer.changes.push(Arc::clone(change));
        }
        Some(answer)
    }

    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What a change costs in memory, about.
fn bytes(change: &Change) -> usize {
    let key = &change.object.key;
    let names = key.group().len() + key.resource().len() + key.namespace().len() + key.name().len();
    let previous = change.previous.as_ref().map_or(0, |p| p.value.len());
    size_of::<Change>() + names + change.object.value.len() + previous
}
