use std::ops::ControlFlow;

use storage_core::{Compacted, Revision, Timestamp};

use super::log::{Position, drop_history};
use super::{Compaction, Phase, Step};
use crate::store::failure::Attempt;
use crate::store::record::bytes;
use crate::store::session::{Param, Session};
use crate::store::state::{State, param, revision};
use crate::store::statements::Statements;

/// Most deleted objects that one transaction looks at.
const OBJECTS_PER_TRANSACTION: usize = 64;

impl Compaction {
    /// Drops deleted objects that are too old.
    pub(super) async fn drop_trash<S: Session>(
        &self,
        session: &mut S,
        statements: &Statements,
    ) -> Attempt<Step> {
        let mut step = Step {
            done: Compacted::default(),
            looked_at: 0,
            next: Phase::Done,
        };
        let Some(age) = self.policy.trash_age_max else {
            return Ok(step);
        };
        session.begin_write().await?;
        Position::lock(session, statements).await?;
        let state = State::read(session, &statements.state).await?;
        let oldest = oldest(session, statements, state.horizon).await?;
        if oldest.len() == OBJECTS_PER_TRANSACTION {
            step.next = Phase::Trash;
        }
        let too_old = self.now.saturating_sub(age);
        for object in oldest {
            if object.time > too_old {
                step.next = Phase::Done;
                break;
            }
            let left = self.budget - step.looked_at;
            if !drop_object(session, statements, &object, left, &mut step).await? {
                step.done.more = true;
                step.next = Phase::Done;
                break;
            }
        }
        session.end().await?;
        Ok(step)
    }
}

/// Drops a deleted object as far as the budget goes: its revisions oldest first, the deletion
/// record last. Returns whether all of it is gone.
async fn drop_object<S: Session>(
    session: &mut S,
    statements: &Statements,
    object: &Trashed,
    budget: usize,
    step: &mut Step,
) -> Attempt<bool> {
    if budget == 0 {
        return Ok(false);
    }
    let mut last = None;
    let mut revisions = 0;
    let params = [
        Param::Bytes(&object.key),
        param(object.deleted),
        Param::Int(budget as i64),
    ];
    session
        .query(&statements.history_through, &params, &mut |row| {
            revisions += 1;
            last = Some(revision(row.int(0)?));
            Ok(ControlFlow::Continue(()))
        })
        .await?;
    if let Some(last) = last {
        drop_history(session, statements, &[(object.key.clone(), last)]).await?;
    }
    step.looked_at += revisions;
    step.done.history += revisions as u64;
    if last.is_some_and(|last| last < object.deleted) {
        return Ok(false);
    }
    let params = [Param::Bytes(&object.key), param(object.deleted)];
    step.done.trash += session.execute(&statements.drop_trash, &params).await?;
    Ok(true)
}

struct Trashed {
    key: Vec<u8>,
    deleted: Revision,
    time: Timestamp,
}

/// Locks the objects that were deleted first. A writer that creates one of them again waits.
async fn oldest<S: Session>(
    session: &mut S,
    statements: &Statements,
    horizon: Revision,
) -> Attempt<Vec<Trashed>> {
    let mut oldest = Vec::new();
    let params = [param(horizon), Param::Int(OBJECTS_PER_TRANSACTION as i64)];
    session
        .query(&statements.oldest_trash, &params, &mut |row| {
            oldest.push(Trashed {
                key: bytes(row, 0)?.to_vec(),
                deleted: revision(row.int(1)?),
                time: Timestamp::from_millis(row.int(2)?.cast_unsigned()),
            });
            Ok(ControlFlow::Continue(()))
        })
        .await?;
    Ok(oldest)
}
