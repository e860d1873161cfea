//! What operators ask and order.

use std::collections::BTreeMap;

use serde::Serialize;
use storage_core::Result;
use tokio::time::{Instant, timeout_at};

use crate::dual::DualWriter;
use crate::inner::Inner;
use crate::record::{Forced, SyncRecord};
use crate::sync::{OnProgress, SyncReport};
use crate::transition::{Gate, Refusal, Transition, TransitionError, gate};
use crate::verify::{Difference, Repair, VerifyReport};
use crate::{Kind, Mode, Side, SyncGate, observe};

/// How a kind stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KindStatus {
    /// The group.
    pub group: String,
    /// The resource.
    pub resource: String,
    /// The mode in force.
    pub mode: u8,
    /// The mode that the configuration of this process asks for.
    pub desired: u8,
    /// Rises with each step of each change of mode.
    pub epoch: u64,
    /// The mode that a change in progress leads to.
    pub changing_to: Option<u8>,
    /// The store that a sync would take as the truth.
    pub authority: String,
    /// How the sync stands.
    pub sync: SyncStatus,
    /// Writes that are begun and not finished.
    pub intents: u64,
    /// The age of the oldest of them.
    pub oldest_intent_ms: u64,
    /// Objects that wait in this process for the background, in mode 1.
    pub queued: u64,
    /// For each other mode: none if the way is open, or the gate that is shut.
    pub gates: BTreeMap<u8, Option<Refusal>>,
}

/// How the sync of a kind stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SyncStatus {
    /// A sync was completed in this epoch and nothing failed since.
    pub complete: bool,
    /// When the last one was completed, in milliseconds since the Unix epoch.
    pub complete_at_ms: u64,
    /// Why the mark was cleared last.
    pub cleared: Option<String>,
    /// The objects that a pass in progress, or an interrupted one, has compared.
    pub compared: Option<u64>,
}

impl DualWriter {
    /// Returns how a kind stands.
    ///
    /// # Errors
    /// As the stores say. Unified may be down in modes 0 and 1: then it is as if nothing were in
    /// progress there.
    pub async fn status(&self, kind: &Kind) -> Result<KindStatus> {
        self.inner.status(kind).await
    }

    /// Returns how every kind that has a mode of its own, or is configured, stands.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub async fn statuses(&self) -> Result<Vec<KindStatus>> {
        let mut kinds = self.inner.known_kinds().await?;
        kinds.extend(self.inner.options.config.modes.keys().cloned());
        kinds.sort();
        kinds.dedup();
        let mut all = Vec::with_capacity(kinds.len());
        for kind in &kinds {
            all.push(self.status(kind).await?);
        }
        Ok(all)
    }

    /// Runs a sync: from legacy to unified in modes 1 to 3, back in modes 4 and 5 and in a mode 3
    /// that was reached from there.
    ///
    /// # Errors
    /// `Invalid` in mode 0; `Overloaded` while another process syncs the kind; as the stores say.
    pub async fn sync(&self, kind: &Kind, on_progress: OnProgress<'_>) -> Result<SyncReport> {
        self.inner.sync(kind, on_progress).await
    }

    /// Changes the mode of a kind.
    ///
    /// # Errors
    /// `Refused` with the gate that is shut and how to open it; `Storage` as the stores say: then
    /// the change may have begun, and any process, this one first, goes on with it.
    pub async fn set_mode(
        &self,
        kind: &Kind,
        to: Mode,
        forced: Forced,
    ) -> Result<Transition, TransitionError> {
        let skipped = self.inner.options.config.sync_gate == SyncGate::Skipped;
        let forced = match forced {
            Forced::No if skipped => Forced::SkipSync,
            forced => forced,
        };
        self.inner.set_mode(kind, to, forced).await
    }

    /// Changes to the next higher mode; does nothing in mode 5.
    ///
    /// # Errors
    /// As [`set_mode`](Self::set_mode).
    pub async fn promote(
        &self,
        kind: &Kind,
        forced: Forced,
    ) -> Result<Transition, TransitionError> {
        let mode = self.inner.load(kind).await?.mode;
        let to = Mode::from_number((mode.number() + 1).min(5))?;
        self.set_mode(kind, to, forced).await
    }

    /// Changes to the next lower mode; does nothing in mode 0.
    ///
    /// # Errors
    /// As [`set_mode`](Self::set_mode).
    pub async fn rollback(
        &self,
        kind: &Kind,
        forced: Forced,
    ) -> Result<Transition, TransitionError> {
        let mode = self.inner.load(kind).await?.mode;
        let to = Mode::from_number(mode.number().saturating_sub(1))?;
        self.set_mode(kind, to, forced).await
    }

    /// Compares both stores in full, and repairs if it is asked to.
    ///
    /// # Errors
    /// As the stores say.
    pub async fn verify(
        &self,
        kind: &Kind,
        repair: Repair,
        on_difference: &mut (dyn FnMut(Difference) + Send),
        on_progress: OnProgress<'_>,
    ) -> Result<VerifyReport> {
        self.inner
            .verify(kind, repair, on_difference, on_progress)
            .await
    }

    /// Raises the stored modes to the configured ones where gates allow it; returns the others with
    /// the reason. The stored state is the truth, so a configuration that was rolled back, or that
    /// is older than a promotion, does not roll back a kind.
    ///
    /// # Errors
    /// As the stores say, for the first kind that failed: the others were tried as well.
    pub async fn apply_config(&self) -> Result<Vec<(Kind, Refusal)>> {
        let mut refused = Vec::new();
        let mut failed = Ok(());
        for (kind, mode) in &self.inner.options.config.modes {
            match self.raise_mode(kind, *mode).await {
                Ok(()) => {}
                Err(TransitionError::Refused(refusal)) => {
                    tracing::warn!(%kind, %refusal, "the configured mode is not in force");
                    refused.push((kind.clone(), refusal));
                }
                Err(TransitionError::Storage(error)) => failed = failed.and(Err(error)),
            }
        }
        failed.map(|()| refused)
    }

    async fn raise_mode(&self, kind: &Kind, configured: Mode) -> Result<(), TransitionError> {
        let mode = self.inner.load(kind).await?.mode;
        if configured < mode {
            return Err(TransitionError::Refused(Refusal {
                from: mode.number(),
                to: configured.number(),
                gate: Gate::Configuration,
                how: "the stored mode is the truth; ask for the rollback itself, or configure the \
                      mode that is in force"
                    .to_owned(),
            }));
        }
        self.set_mode(kind, configured, Forced::No).await?;
        Ok(())
    }

    /// Tells whether a mode that this process knows of reads or writes a store, so that it cannot
    /// do without it.
    #[must_use]
    pub fn relies_on(&self, side: Side) -> bool {
        self.inner.relies_on(side)
    }

    /// Returns how many calls of `commit` this process carries on whether or not their callers wait:
    /// all but those of one transaction to one store alone, which end with their callers.
    #[must_use]
    pub fn commits_under_way(&self) -> usize {
        let mut commits = self.commits.lock();
        while commits.try_join_next().is_some() {}
        commits.len()
    }

    /// Ends the work of this process: waits for commits to both stores that are under way and for
    /// what mode 1 left to the background, at most `patience`, gives up the rights of syncs whose futures
    /// were dropped, and takes this process out of those that a change of mode waits for. Nothing may
    /// be asked of it afterwards; a commit to one store that is under way is answered by that store,
    /// which refuses it once the mode has changed.
    ///
    /// # Errors
    /// As the stores say: then the next change of mode waits until this process's lease ran out.
    pub async fn close(&self) -> Result<()> {
        let deadline = Instant::now() + self.inner.options.patience;
        if timeout_at(deadline, self.inner.queue.emptied())
            .await
            .is_err()
        {
            tracing::warn!("unified misses what mode 1 left to the background, the sync finds it");
        }
        let mut commits = std::mem::take(&mut *self.commits.lock());
        let ended = async { while commits.join_next().await.is_some() {} };
        if timeout_at(deadline, ended).await.is_err() {
            tracing::warn!("writes are left unfinished, another process finishes them");
        }
        let mut background = std::mem::take(&mut *self.background.lock());
        commits.shutdown().await;
        background.shutdown().await;
        let mut tasks = std::mem::take(&mut *self.inner.tasks.lock());
        tasks.shutdown().await;
        self.inner.drop_rights().await;
        self.inner.deregister().await
    }
}

impl Inner {
    async fn status(&self, kind: &Kind) -> Result<KindStatus> {
        let view = self.load(kind).await?;
        let needed = view.unified.is_some();
        let sync = match self.sync_record(kind).await {
            Ok((record, _)) => record,
            Err(error) if needed => return Err(error),
            Err(_) => SyncRecord::default(),
        };
        let (intents, oldest_intent_ms) = match self.pending(kind).await {
            Ok(pending) => pending,
            Err(error) if needed => return Err(error),
            Err(_) => (0, 0),
        };
        observe::mode(kind, view.mode);
        let epoch = view.record.epoch - u64::from(view.is_changing());
        let others = Mode::ALL.into_iter().filter(|to| *to != view.mode);
        let gates = others.map(|to| (to.number(), gate(&view.record, &sync, to, Forced::No).err()));
        let unfinished = sync.pass.as_ref().filter(|pass| pass.goes_on(epoch));
        let configured = self.options.config.modes.get(kind);
        Ok(KindStatus {
            group: kind.group().to_owned(),
            resource: kind.resource().to_owned(),
            mode: view.mode.number(),
            desired: configured.copied().unwrap_or(view.mode).number(),
            epoch: view.record.epoch,
            changing_to: view.record.change.as_ref().map(|change| change.to),
            authority: view.authority().to_string(),
            sync: SyncStatus {
                complete: sync.complete_epoch == Some(epoch),
                complete_at_ms: sync.complete_at_ms,
                compared: unfinished.map(|pass| pass.compared),
                cleared: sync.cleared.clone(),
            },
            intents,
            oldest_intent_ms,
            queued: self.queue.depth_of(kind) as u64,
            gates: gates.collect(),
        })
    }

    async fn pending(&self, kind: &Kind) -> Result<(u64, u64)> {
        let intents = self.list_intents(self.keys.intents_of(kind)).await?;
        let started = intents.iter().map(|intent| intent.started_ms).min();
        let oldest = started.map_or(0, |ms| self.now().as_millis().saturating_sub(ms));
        Ok((intents.len() as u64, oldest))
    }
}
