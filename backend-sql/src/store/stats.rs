use std::ops::ControlFlow;

use storage_core::{Error, ResourceStats, Result, Scope};

use super::failure::{Attempt, corrupt};
use super::key::{KeyRange, parts};
use super::record::bytes;
use super::session::{Param, Row, Session};
use super::statements::Statements;

/// Reads the counts of a scope.
#[derive(Clone, Debug)]
pub(crate) struct Stats {
    pub(crate) scope: Scope,
}

impl Stats {
    /// Checks what can be checked without a store.
    pub(crate) fn validate(&self) -> Result<()> {
        let scope = &self.scope;
        scope.validate()?;
        if scope.is_internal() || matches!(scope, Scope::Object(_)) {
            return Err(Error::invalid("stats", format!("{scope} has no counts")));
        }
        Ok(())
    }

    /// Runs it.
    pub(crate) async fn run<S: Session>(
        &self,
        session: &mut S,
        statements: &Statements,
    ) -> Attempt<Vec<ResourceStats>> {
        let range = KeyRange::of(&self.scope);
        let params = [Param::Bytes(&range.first), Param::Bytes(&range.end)];
        let mut stats = Vec::new();
        session
            .query(&statements.stats, &params, &mut |row| {
                stats.push(count(row)?);
                Ok(ControlFlow::Continue(()))
            })
            .await?;
        Ok(stats)
    }
}

fn count(row: &dyn Row) -> Result<ResourceStats> {
    let [group, resource, namespace, _] = parts(bytes(row, 0)?)?;
    Ok(ResourceStats {
        group: group.into(),
        resource: resource.into(),
        namespace: namespace.into(),
        count: u64::try_from(row.int(1)?).map_err(|_| corrupt("a count is below zero"))?,
    })
}
