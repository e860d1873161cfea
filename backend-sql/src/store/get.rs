use std::ops::ControlFlow;

use storage_core::{ChangeKind, Error, ResourceKey, Result, Revision, Stored};

use super::failure::Attempt;
use super::key;
use super::record::stored;
use super::session::{Param, Session, Sql};
use super::state::param;
use super::statements::Statements;

/// Reads one object.
#[derive(Clone, Debug)]
pub(crate) struct Get {
    pub(crate) key: ResourceKey,
    pub(crate) at: Option<Revision>,
}

impl Get {
    /// Checks what can be checked without a store.
    pub(crate) fn validate(&self) -> Result<()> {
        if self.at.is_some() && self.key.is_internal() {
            let why = "the internal group has no old revisions";
            return Err(Error::invalid("get", why));
        }
        Ok(())
    }

    /// Runs it.
    pub(crate) async fn run<S: Session>(
        &self,
        session: &mut S,
        statements: &Statements,
    ) -> Attempt<Option<Stored>> {
        let key = key::encode(&self.key);
        match self.at {
            None if self.key.is_internal() => {
                one(session, &statements.get_control, &[Param::Bytes(&key)]).await
            }
            None => one(session, &statements.get, &[Param::Bytes(&key)]).await,
            Some(at) => at_revision(session, statements, &key, at).await,
        }
    }
}

async fn at_revision<S: Session>(
    session: &mut S,
    statements: &Statements,
    key: &[u8],
    at: Revision,
) -> Attempt<Option<Stored>> {
    let state = session.begin_snapshot(&statements.state).await?;
    state.not_in_the_future("get", at)?;
    let params = [Param::Bytes(key), param(at)];
    let newest = one(session, &statements.get_at, &params).await?;
    session.end().await?;
    match newest {
        Some(stored) if stored.kind == ChangeKind::Deleted => Ok(None),
        Some(stored) => Ok(Some(stored)),
        None => Ok(state.not_expired("get", at).map(|()| None)?),
    }
}

async fn one<S: Session>(
    session: &mut S,
    sql: &Sql,
    params: &[Param<'_>],
) -> Attempt<Option<Stored>> {
    let mut found = None;
    session
        .query(sql, params, &mut |row| {
            found = Some(stored(row)?);
            Ok(ControlFlow::Continue(()))
        })
        .await?;
    Ok(found)
}
