use std::ops::ControlFlow;

use storage_core::{Error, ErrorKind, Result, Revision};

use super::failure::Attempt;
use super::session::{Param, Row, Session, Sql};

/// The one row of `resource_version`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The newest revision.
    pub(crate) head: Revision,
    /// Reads below it and changes after anything below it are expired.
    pub(crate) horizon: Revision,
    /// How many change records there ever were.
    pub(crate) changes: i64,
}

impl State {
    /// Reads the row by the statement, which locks it or not.
    pub(crate) async fn read<S: Session>(session: &mut S, sql: &Sql) -> Attempt<Self> {
        let mut state = None;
        session
            .query(sql, &[], &mut |row| {
                state = Some(Self::of(row)?);
                Ok(ControlFlow::Continue(()))
            })
            .await?;
        let missing = || {
            Error::new(
                ErrorKind::Corrupt,
                "read",
                "the revision counter is missing",
            )
        };
        Ok(state.ok_or_else(missing)?)
    }

    /// Reads the row.
    pub(crate) fn of(row: &dyn Row) -> Result<Self> {
        Ok(Self {
            head: revision(row.int(0)?),
            horizon: revision(row.int(1)?),
            changes: row.int(2)?,
        })
    }

    /// Refuses a revision that the store has not reached.
    pub(crate) fn not_in_the_future(
        &self,
        operation: &'static str,
        revision: Revision,
    ) -> Result<()> {
        if revision > self.head {
            let context = format!(
                "revision {revision} is newer than the store's {}",
                self.head
            );
            return Err(Error::new(ErrorKind::FutureRevision, operation, context));
        }
        Ok(())
    }

    /// Refuses a revision that is below the horizon.
    pub(crate) fn not_expired(&self, operation: &'static str, revision: Revision) -> Result<()> {
        if revision < self.horizon {
            let context = format!("revision {revision} is below the horizon {}", self.horizon);
            return Err(Error::new(ErrorKind::Expired, operation, context));
        }
        Ok(())
    }
}

/// Reads a revision from a signed column.
pub(crate) const fn revision(column: i64) -> Revision {
    Revision::new(column.cast_unsigned())
}

/// Returns a revision as a signed column holds it.
pub(crate) const fn column(revision: Revision) -> i64 {
    revision.get().cast_signed()
}

/// Returns a revision as a parameter.
pub(crate) const fn param(revision: Revision) -> Param<'static> {
    Param::Int(column(revision))
}
