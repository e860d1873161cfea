use std::ops::ControlFlow;
use std::sync::Arc;

use storage_core::{Error, ErrorKind, Outcome, Result, Revision, Transaction};
use tokio::time::timeout;

use super::{Backoff, Driver, ServerSession, Shared};
use crate::store::failure::{Attempt, Failure};
use crate::store::plan::Plan;
use crate::store::session::{Param, Session, Sql};
use crate::store::state::{State, param, revision};
use crate::store::statements::Statements;
use crate::store::view::{KeysOfCommit, View};

const NEXT_WRITER: &str = "SELECT COALESCE(MAX(id), 0) + 1 FROM resource_writer";

/// Enters a new handle into `resource_writer`; returns its number and the state of the store.
pub(super) async fn register<S: ServerSession>(
    session: &mut S,
    statements: &Statements,
) -> Attempt<(i64, State)> {
    let state = session.lock(&statements.lock_state).await?;
    let writer = number(session, &Sql::from(NEXT_WRITER)).await?;
    let insert = format!("INSERT INTO resource_writer (id, resource_version) VALUES ({writer}, 0)");
    session.execute(&Sql::from(insert), &[]).await?;
    session.end().await?;
    Ok((writer, state))
}

/// What became of one attempt to commit.
enum Tried {
    /// The outcomes are true and durable.
    Done(Plan),
    /// Nothing was written.
    Failed(Failure),
    /// The connection was lost while the database committed.
    Unknown(Plan, Error),
}

impl<D: Driver> Shared<D> {
    /// Commits, again as often as the database gives up on an attempt or the connection breaks.
    pub(super) async fn commit(
        self: Arc<Self>,
        transactions: Vec<Transaction>,
    ) -> Result<Vec<Outcome>> {
        let lane = timeout(self.options.request_timeout, self.lane.lock());
        let mut lane = lane.await.map_err(|_| queue_is_full())?;
        let mut backoff = Backoff::new(self.options.request_timeout, self.writer.cast_unsigned());
        loop {
            let session = match lane.take() {
                Some(session) => session,
                None => match self.driver.acquire().await {
                    Ok(session) => session,
                    Err(failure) => {
                        backoff.wait_after(failure).await?;
                        continue;
                    }
                },
            };
            let (tried, session) = self.attempt(session, &transactions).await;
            *lane = session;
            match tried {
                Tried::Done(plan) => return Ok(self.publish(plan)),
                Tried::Failed(failure) => backoff.wait_after(failure).await?,
                Tried::Unknown(plan, error) => {
                    if self.is_committed(&plan, error).await? {
                        return Ok(self.publish(plan));
                    }
                }
            }
        }
    }

    fn publish(&self, plan: Plan) -> Vec<Outcome> {
        self.head.reach(plan.head);
        plan.outcomes
    }

    /// Tries once. Returns the connection if the next commit may have it.
    async fn attempt(
        &self,
        mut session: D::Session,
        transactions: &[Transaction],
    ) -> (Tried, Option<D::Session>) {
        let tried = self.try_once(&mut session, transactions).await;
        match tried {
            Tried::Done(_) => (tried, Some(session)),
            Tried::Failed(_) | Tried::Unknown(..) => (tried, None),
        }
    }

    async fn try_once(&self, session: &mut D::Session, transactions: &[Transaction]) -> Tried {
        let plan = match self.plan(session, transactions).await {
            Ok((plan, is_snapshot)) if plan.is_empty() && is_snapshot => return Tried::Done(plan),
            Ok((plan, _)) => plan,
            Err(failure) => return Tried::Failed(failure),
        };
        if D::Session::WRITES_WITHOUT_LOCK {
            match session.write(&plan, self.writer).await {
                Ok(true) => return Tried::Done(plan),
                // Another process was faster: from here on with the lock.
                Ok(false) => {}
                Err(Failure::Lost(error)) => return Tried::Unknown(plan, error),
                Err(failure) => return Tried::Failed(failure),
            }
        }
        let plan = match self.write_locked(session, transactions, plan).await {
            Ok(plan) => plan,
            Err(failure) => return Tried::Failed(failure),
        };
        match session.end().await {
            Ok(()) => Tried::Done(plan),
            Err(Failure::Lost(error)) => Tried::Unknown(plan, error),
            Err(failure) => Tried::Failed(failure),
        }
    }

    /// Plans from what is stored now, without any lock.
    async fn plan(
        &self,
        session: &mut D::Session,
        transactions: &[Transaction],
    ) -> Attempt<(Plan, bool)> {
        let keys = KeysOfCommit::new(transactions);
        let view = View::read(session, &self.statements, &keys).await?;
        let plan = Plan::new(&view, transactions, self.clock.now());
        Ok((plan, view.is_snapshot))
    }

    /// Locks the counter, plans again if it has moved, and writes all but the end.
    async fn write_locked(
        &self,
        session: &mut D::Session,
        transactions: &[Transaction],
        mut plan: Plan,
    ) -> Attempt<Plan> {
        let state = session.lock(&self.statements.lock_state).await?;
        if state.head != plan.base {
            (plan, _) = self.plan(session, transactions).await?;
        }
        if !plan.is_empty() && !session.write(&plan, self.writer).await? {
            let context = "the counter moved while it was locked";
            return Err(Error::new(ErrorKind::Internal, "commit", context).into());
        }
        Ok(plan)
    }

    /// Finds out whether a commit happened whose connection was lost.
    ///
    /// Each commit leaves its revision in the row of its writer. Who has the lock on the counter
    /// knows that no commit is under way any more; and the counter is raised, so that a statement
    /// which the server has yet to read finds that it has moved.
    async fn is_committed(&self, plan: &Plan, lost: Error) -> Result<bool> {
        tracing::warn!(error = %lost, "a connection was lost during a commit");
        let mut backoff = Backoff::new(self.options.decide_timeout, self.writer.cast_unsigned());
        let deciding = async {
            loop {
                match self.look_up(plan).await {
                    Ok(is_committed) => return Ok::<_, Error>(is_committed),
                    Err(failure) => backoff.wait(failure.into_error()).await?,
                }
            }
        };
        let decided = timeout(self.options.decide_timeout, deciding).await;
        match decided {
            Ok(Ok(is_committed)) => Ok(is_committed),
            Ok(Err(_)) | Err(_) => {
                metrics::counter!("unistore_sql_indeterminate_total").increment(1);
                let context = "the connection was lost during the commit";
                Err(Error::new(ErrorKind::Indeterminate, "commit", context).with_source(lost))
            }
        }
    }

    async fn look_up(&self, plan: &Plan) -> Attempt<bool> {
        let mut session = self.driver.acquire().await?;
        self.look_up_locked(&mut session, plan).await
    }

    async fn look_up_locked(&self, session: &mut D::Session, plan: &Plan) -> Attempt<bool> {
        let state = session.lock(&self.statements.lock_state).await?;
        let select = format!(
            "SELECT resource_version FROM resource_writer WHERE id = {}",
            self.writer
        );
        let last = number(session, &Sql::from(select)).await?;
        let is_committed = revision(last) == plan.head;
        if !is_committed {
            let raised = state.head.next().max(Revision::new(1));
            let params = [param(raised), Param::Int(0)];
            session
                .execute(&self.statements.update_state, &params)
                .await?;
        }
        session.end().await?;
        Ok(is_committed)
    }
}

async fn number<S: Session>(session: &mut S, sql: &Sql) -> Attempt<i64> {
    let mut number = 0;
    session
        .query(sql, &[], &mut |row| {
            number = row.int(0)?;
            Ok(ControlFlow::Continue(()))
        })
        .await?;
    Ok(number)
}

fn queue_is_full() -> Error {
    let context = "other commits of this process take too long";
    Error::new(ErrorKind::Overloaded, "commit", context)
}
