use storage_core::Revision;

use super::Objects;
use crate::storage_failure::too_large_version;
use crate::{Failure, Result};

impl Objects {
    /// Waits until the store has reached a revision, for a while.
    pub(super) async fn reach(&self, revision: Revision) -> Result<()> {
        let mut head = self.backend().head();
        let reached = head.wait_for(|head| *head >= revision);
        let wait = self.0.options.future_revision_wait;
        let in_time = tokio::time::timeout(wait, reached).await;
        // Outside of the match the guard of the channel would live on.
        let reached = matches!(in_time, Ok(Ok(_)));
        if reached {
            return Ok(());
        }
        let current = self.head();
        Err(Failure::timeout(format!(
            "Too large resource version: {revision}, current: {current}"
        ))
        .with_details(too_large_version()))
    }
}
