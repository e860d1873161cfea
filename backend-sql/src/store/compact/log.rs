use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use storage_core::limits::WRITES_PER_TRANSACTION_MAX;
use storage_core::{Compacted, Error, ErrorKind, Revision, Timestamp};

use super::{Compaction, Phase, Step};
use crate::store::failure::Attempt;
use crate::store::record::bytes;
use crate::store::session::{Param, Session};
use crate::store::state::{State, param, revision};
use crate::store::statements::Statements;

/// Most change records that one transaction drops.
const CHANGES_PER_TRANSACTION: usize = 256;

/// Most objects whose history is looked at by one statement: few, so that the planner of a small
/// store does not rather read all of it.
const OBJECTS_PER_STATEMENT: usize = 64;

impl Compaction {
    /// Raises the horizon over the changes that the policy does not keep.
    pub(super) async fn raise_horizon<S: Session>(
        &self,
        session: &mut S,
        statements: &Statements,
    ) -> Attempt<Step> {
        session.begin_write().await?;
        let position = Position::lock(session, statements).await?;
        let state = State::read(session, &statements.state).await?;
        // One more than there is budget for tells whether more is left.
        let rows = position
            .rows(session, statements, Revision::MAX, self.budget + 1)
            .await?;
        let kept_in_log = state.changes - position.dropped;
        let (mut horizon, mut more) = (state.horizon, false);
        for (index, row) in (0..).zip(&rows) {
            if !self.may_drop(row, horizon, kept_in_log - index) {
                break;
            }
            more = usize::try_from(index).is_ok_and(|index| index >= self.budget);
            if !more {
                horizon = horizon.max(row.revision);
            }
        }
        if horizon > state.horizon {
            let params = [param(horizon), param(horizon)];
            session.execute(&statements.raise_horizon, &params).await?;
        }
        session.end().await?;
        Ok(Step {
            done: Compacted {
                horizon,
                more,
                ..Compacted::default()
            },
            looked_at: 0,
            next: Phase::Log,
        })
    }

    fn may_drop(&self, row: &LogRow, horizon: Revision, kept_in_log: i64) -> bool {
        let policy = &self.policy;
        if row.revision <= horizon {
            return true;
        }
        if row.time > self.now.saturating_sub(policy.changes_age_min) {
            return false;
        }
        let too_old = policy
            .changes_age_max
            .is_some_and(|age| row.time <= self.now.saturating_sub(age));
        let too_many = policy
            .changes_max
            .is_some_and(|max| kept_in_log.cast_unsigned() > max);
        too_old || too_many
    }

    /// Drops change records up to the horizon from the log, and with them the revisions of their
    /// objects that are now too many.
    pub(super) async fn drop_changes<S: Session>(
        &self,
        session: &mut S,
        statements: &Statements,
    ) -> Attempt<Step> {
        session.begin_write().await?;
        let position = Position::lock(session, statements).await?;
        let state = State::read(session, &statements.state).await?;
        let wanted = self.budget.clamp(1, CHANGES_PER_TRANSACTION);
        let rows = position
            .rows(session, statements, state.horizon, wanted)
            .await?;
        let more = !rows.is_empty() && self.budget == 0;
        if rows.is_empty() || more {
            session.end().await?;
            return Ok(Step {
                done: Compacted {
                    more,
                    ..Compacted::default()
                },
                looked_at: 0,
                next: if more { Phase::Done } else { Phase::Trash },
            });
        }
        let trimmed = self.trim(session, statements, &rows, state.horizon).await?;
        // What is left of the budget is for the change records themselves.
        let dropped = rows.len().min(self.budget - trimmed);
        if let Some(last) = dropped.checked_sub(1).map(|index| &rows[index]) {
            let params = [
                param(last.revision),
                Param::Int(last.write_index),
                Param::Int(dropped as i64),
            ];
            session
                .execute(&statements.update_compaction, &params)
                .await?;
        }
        session.end().await?;
        Ok(Step {
            done: Compacted {
                changes: dropped as u64,
                history: trimmed as u64,
                ..Compacted::default()
            },
            looked_at: dropped + trimmed,
            next: Phase::Log,
        })
    }

    /// Drops the revisions that the objects of these changes have too many, and returns how many
    /// they were.
    async fn trim<S: Session>(
        &self,
        session: &mut S,
        statements: &Statements,
        rows: &[LogRow],
        horizon: Revision,
    ) -> Attempt<usize> {
        let Some(keep) = self.policy.history_per_object else {
            return Ok(0);
        };
        let keep = i64::try_from(keep.max(1)).unwrap_or(i64::MAX);
        let keys: BTreeSet<&[u8]> = rows.iter().map(|row| row.key.as_slice()).collect();
        let keys: Vec<&[u8]> = keys.into_iter().collect();
        let mut superseded = BTreeMap::new();
        let mut trimmed = 0;
        let keys_max = statements.superseded.keys_max().min(OBJECTS_PER_STATEMENT);
        for keys in keys.chunks(keys_max) {
            let (sql, set) = statements.superseded.of(keys);
            let mut params = vec![param(horizon)];
            params.extend(set);
            let left = self.budget - trimmed;
            params.extend([Param::Int(keep), Param::Int(left as i64)]);
            session
                .query(sql, &params, &mut |row| {
                    trimmed += 1;
                    superseded.insert(bytes(row, 0)?.to_vec(), revision(row.int(1)?));
                    Ok(ControlFlow::Continue(()))
                })
                .await?;
        }
        let through: Vec<_> = superseded.into_iter().collect();
        drop_history(session, statements, &through).await?;
        Ok(trimmed)
    }
}

/// Drops the history of objects up to and with a revision of each.
pub(super) async fn drop_history<S: Session>(
    session: &mut S,
    statements: &Statements,
    through: &[(Vec<u8>, Revision)],
) -> Attempt<()> {
    let mut rest = through;
    while !rest.is_empty() {
        let (sql, objects) = statements.drop_history.at_most(rest.len());
        let (now, later) = rest.split_at(objects);
        let params: Vec<_> = now
            .iter()
            .flat_map(|(key, last)| [Param::Bytes(key), param(*last)])
            .collect();
        session.execute(sql, &params).await?;
        rest = later;
    }
    Ok(())
}

/// The row of `resource_compaction`: the last change record that was dropped.
pub(super) struct Position {
    revision: Revision,
    write_index: i64,
    dropped: i64,
}

impl Position {
    /// Locks it. Whoever holds it is the only one who compacts.
    pub(super) async fn lock<S: Session>(
        session: &mut S,
        statements: &Statements,
    ) -> Attempt<Self> {
        let mut position = None;
        session
            .query(&statements.lock_compaction, &[], &mut |row| {
                position = Some(Self {
                    revision: revision(row.int(0)?),
                    write_index: row.int(1)?,
                    dropped: row.int(2)?,
                });
                Ok(ControlFlow::Continue(()))
            })
            .await?;
        let missing = || {
            Error::new(
                ErrorKind::Corrupt,
                "compact",
                "the log's position is missing",
            )
        };
        Ok(position.ok_or_else(missing)?)
    }

    /// Reads the change records behind it.
    async fn rows<S: Session>(
        &self,
        session: &mut S,
        statements: &Statements,
        until: Revision,
        rows_max: usize,
    ) -> Attempt<Vec<LogRow>> {
        // The statement begins with the revision in which the position lies.
        let limit = Param::Int((rows_max + WRITES_PER_TRANSACTION_MAX) as i64);
        let params = [param(self.revision), param(until), limit];
        let mut rows = Vec::new();
        session
            .query(&statements.log, &params, &mut |row| {
                let row = LogRow {
                    revision: revision(row.int(0)?),
                    write_index: row.int(1)?,
                    time: Timestamp::from_millis(row.int(2)?.cast_unsigned()),
                    key: bytes(row, 3)?.to_vec(),
                };
                if (row.revision, row.write_index) > (self.revision, self.write_index) {
                    rows.push(row);
                }
                Ok(if rows.len() == rows_max {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            })
            .await?;
        Ok(rows)
    }
}

struct LogRow {
    revision: Revision,
    write_index: i64,
    time: Timestamp,
    key: Vec<u8>,
}
