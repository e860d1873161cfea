mod log;
mod trash;

use storage_core::limits::COMPACT_STEP_MAX;
use storage_core::{Compacted, Error, Result, Retention, Timestamp};

use super::failure::Attempt;
use super::session::Session;
use super::statements::Statements;

/// One call of `compact`, as a row of short transactions between which writers have their turn.
///
/// The order is what keeps readers right: first the horizon, then the records below it; of one
/// object the oldest revisions first, the deletion record last. Each transaction locks the row of
/// `resource_compaction` first, so that any number of processes may do this at the same time. The
/// counter, which writers wait for, is locked by the transaction that raises the horizon only.
#[derive(Debug)]
pub(crate) struct Compaction {
    policy: Retention,
    now: Timestamp,
    budget: usize,
    phase: Phase,
    done: Compacted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Horizon,
    Log,
    Trash,
    Done,
}

/// What one transaction did.
struct Step {
    done: Compacted,
    looked_at: usize,
    next: Phase,
}

impl Compaction {
    /// Prepares a call.
    ///
    /// # Errors
    /// `Invalid` if `step_max` is zero.
    pub(crate) fn new(policy: Retention, now: Timestamp) -> Result<Self> {
        if policy.step_max == 0 {
            return Err(Error::invalid("compact", "step_max must be at least 1"));
        }
        Ok(Self {
            budget: policy.step_max.min(COMPACT_STEP_MAX),
            policy,
            now,
            phase: Phase::Horizon,
            done: Compacted::default(),
        })
    }

    /// Returns what was done, when all of it is done.
    pub(crate) fn result(&self) -> Option<Compacted> {
        (self.phase == Phase::Done).then_some(self.done)
    }

    /// Runs the next transaction. When it fails nothing has changed, and it can be run again.
    pub(crate) async fn step<S: Session>(
        &mut self,
        session: &mut S,
        statements: &Statements,
    ) -> Attempt<()> {
        let step = match self.phase {
            Phase::Horizon => self.raise_horizon(session, statements).await?,
            Phase::Log => self.drop_changes(session, statements).await?,
            Phase::Trash => self.drop_trash(session, statements).await?,
            Phase::Done => return Ok(()),
        };
        self.phase = step.next;
        self.budget = self.budget.saturating_sub(step.looked_at);
        self.done.horizon = self.done.horizon.max(step.done.horizon);
        self.done.changes += step.done.changes;
        self.done.history += step.done.history;
        self.done.trash += step.done.trash;
        self.done.more |= step.done.more;
        Ok(())
    }
}
