use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use storage_core::limits::WRITES_PER_TRANSACTION_MAX;
use storage_core::{Change, Changes, ChangesQuery, Previous, Result, Revision, Scope};

use super::failure::{Attempt, corrupt};
use super::key::{self, KeyRange};
use super::record::{AFTER_RECORD, stored};
use super::session::{Param, Row, Session};
use super::state::{param, revision};
use super::statements::Statements;

/// About how many rows one statement of `changes` asks for.
const STATEMENT_ROWS_MAX: usize = 1000;

/// Where the revision of the value before stands in a row, and behind it that value.
const PREVIOUS: usize = AFTER_RECORD + 1;

/// Reads changes.
#[derive(Clone, Debug)]
pub(crate) struct ReadChanges {
    pub(crate) query: ChangesQuery,
}

impl ReadChanges {
    /// Runs it.
    pub(crate) async fn run<S: Session>(
        &self,
        session: &mut S,
        statements: &Statements,
    ) -> Attempt<Changes> {
        let state = session.begin_snapshot(&statements.state).await?;
        state.not_in_the_future("changes", self.query.after)?;
        state.not_expired("changes", self.query.after)?;
        let mut collected = Collected::new(&self.query);
        let mut after = self.query.after;
        while after < state.head {
            let limit = collected.rows_wanted();
            let rows = self.read(session, statements, after, limit, &mut collected);
            if rows.await? < limit || collected.is_cut {
                break;
            }
            after = collected.forget_last_revision();
        }
        session.end().await?;
        Ok(collected.finish(state.head))
    }

    async fn read<S: Session>(
        &self,
        session: &mut S,
        statements: &Statements,
        after: Revision,
        limit: usize,
        collected: &mut Collected<'_>,
    ) -> Attempt<usize> {
        let mut rows = 0;
        let mut each = |row: &dyn Row| {
            rows += 1;
            Ok(collected.push(change(row)?))
        };
        let limit = Param::Int(limit as i64);
        if let Scope::Object(object) = &self.query.scope {
            let stored_key = key::encode(object);
            let params = [param(after), Param::Bytes(&stored_key), limit];
            let sql = &statements.changes_of;
            session.query(sql, &params, &mut each).await?;
        } else {
            let range = KeyRange::of(&self.query.scope);
            let [first, end] = [&range.first, &range.end].map(|key| Param::Bytes(key));
            let params = [param(after), first, end, limit];
            session
                .query(&statements.changes, &params, &mut each)
                .await?;
        }
        Ok(rows)
    }
}

/// Changes up to a limit, whole revisions only.
struct Collected<'a> {
    query: &'a ChangesQuery,
    changes: Vec<Arc<Change>>,
    bytes: usize,
    is_cut: bool,
}

impl<'a> Collected<'a> {
    const fn new(query: &'a ChangesQuery) -> Self {
        Self {
            query,
            changes: Vec::new(),
            bytes: 0,
            is_cut: false,
        }
    }

    /// Returns how many rows to ask for: with more than a transaction can have, the answer holds
    /// one whole revision at least.
    fn rows_wanted(&self) -> usize {
        let missing = self.query.changes_max().saturating_sub(self.changes.len());
        missing.min(STATEMENT_ROWS_MAX) + WRITES_PER_TRANSACTION_MAX + 1
    }

    fn push(&mut self, change: Change) -> ControlFlow<()> {
        let full =
            self.changes.len() >= self.query.changes_max() || self.bytes >= self.query.bytes_max();
        if full && self.last_revision() != Some(change.object.revision) {
            self.is_cut = true;
            return ControlFlow::Break(());
        }
        self.bytes += change.object.value.len();
        self.changes.push(Arc::new(change));
        ControlFlow::Continue(())
    }

    /// Drops the last revision, of which more may follow, and returns the one before: from there
    /// the next statement goes on.
    fn forget_last_revision(&mut self) -> Revision {
        let last = self.last_revision();
        while self.last_revision() == last {
            let Some(change) = self.changes.pop() else {
                break;
            };
            self.bytes -= change.object.value.len();
        }
        self.last_revision().unwrap_or(self.query.after)
    }

    fn last_revision(&self) -> Option<Revision> {
        self.changes.last().map(|change| change.object.revision)
    }

    fn finish(self, head: Revision) -> Changes {
        let last = self.last_revision();
        Changes {
            through: last.filter(|_| self.is_cut).unwrap_or(head),
            changes: self.changes,
        }
    }
}

fn change(row: &dyn Row) -> Result<Change> {
    let before = revision(row.int(PREVIOUS)?);
    let previous = if before == Revision::ZERO {
        None
    } else {
        let value = row.bytes(PREVIOUS + 1)?;
        Some(Previous {
            revision: before,
            value: value
                .map(Bytes::copy_from_slice)
                .ok_or_else(|| corrupt("the value before a change is gone"))?,
        })
    };
    Ok(Change {
        object: stored(row)?,
        previous,
    })
}
