use std::sync::Arc;

use storage_core::Revision;
use tokio::sync::watch;

use super::Driver;
use crate::store::failure::Attempt;
use crate::store::state::State;
use crate::store::statements::Statements;

/// The newest revision that is known here.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    newest: watch::Sender<Revision>,
    statements: Arc<Statements>,
}

impl Head {
    pub(super) fn new(newest: Revision, statements: Arc<Statements>) -> Self {
        Self {
            newest: watch::Sender::new(newest),
            statements,
        }
    }

    /// Moves it up to a revision that was committed.
    pub(crate) fn reach(&self, revision: Revision) {
        self.newest.send_if_modified(|newest| {
            let is_news = revision > *newest;
            *newest = revision.max(*newest);
            is_news
        });
    }

    /// Asks the database for the newest revision, and returns the newest that is known then.
    pub(crate) async fn poll<D: Driver>(&self, driver: &D) -> Attempt<Revision> {
        let mut session = driver.acquire().await?;
        let state = State::read(&mut session, &self.statements.state).await?;
        self.reach(state.head);
        Ok(*self.newest.borrow())
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Revision> {
        self.newest.subscribe()
    }
}
