use serde::Serialize;
use storage_core::{
    ChangesQuery, Error, ErrorKind, Outcome, Precondition, ResourceKey, Result, Revision,
    StorageBackend, StorageBackendExt, Transaction, Write,
};
use tokio::time::Instant;

use crate::bugs::{Bug, planted};
use crate::copy::{Copied, is_same};
use crate::inner::Inner;
use crate::record::{Coverage, PassRecord, SyncRecord, from_json, to_json};
use crate::right::SyncLease;
use crate::view::View;
use crate::{Direction, Kind, Mode, Side, observe};

/// Objects that are copied with one commit.
const COPY_BATCH: usize = 100;
/// Passes of one run; what is not done then is left to the next run.
const PASSES_MAX: u32 = 5;
/// How often a busy object is tried again.
const BUSY_ATTEMPTS: usize = 5;

/// How far a sync or a verification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// The pass, counted from one.
    pub pass: u32,
    /// Objects compared in this pass.
    pub compared: u64,
    /// Objects copied or deleted in this pass.
    pub repaired: u64,
    /// Objects that could not be settled in this pass.
    pub failed: u64,
    /// About how many objects there are.
    pub total: u64,
}

/// Is told how far it is.
pub type OnProgress<'a> = &'a mut (dyn FnMut(Progress) + Send);

/// What a sync did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SyncReport {
    /// Which store was made equal to which.
    #[serde(serialize_with = "as_text")]
    pub direction: Direction,
    /// Passes over both stores.
    pub passes: u32,
    /// Objects compared, over all passes.
    pub compared: u64,
    /// Objects copied or deleted, over all passes.
    pub repaired: u64,
    /// Objects of the last pass that could not be settled.
    pub failed: u64,
    /// Both stores are equal and the mark is set: the gate is open.
    pub complete: bool,
}

fn as_text<S: serde::Serializer>(direction: &Direction, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(match direction {
        Direction::Forward => "legacy to unified",
        Direction::Reverse => "unified to legacy",
    })
}

impl Inner {
    /// Makes the store that is not the truth equal to the one that is.
    pub(crate) async fn sync(
        &self,
        kind: &Kind,
        on_progress: OnProgress<'_>,
    ) -> Result<SyncReport> {
        let started = Instant::now();
        let view = self.view(kind).await?;
        let direction = syncable(&view)?;
        // The right is this process's: a second sync in it would take it from the first.
        let _syncing = self.only_sync(kind)?;
        let mut lease = self.take_lease(kind).await?;
        let result = self
            .run_sync(&view, direction, &mut lease, on_progress)
            .await;
        let complete = result.as_ref().is_ok_and(|report| report.complete);
        observe::sync_finished(kind, started.elapsed(), complete);
        let failure = match &result {
            Ok(report) if report.complete => None,
            Ok(report) => Some(format!("a sync left {} objects unsettled", report.failed)),
            Err(error) => Some(format!("a sync failed: {error}")),
        };
        if let Some(why) = failure {
            self.clear_mark_of(&view, &mut lease, &why).await;
        }
        self.drop_lease(kind, &lease).await;
        result
    }

    async fn run_sync(
        &self,
        view: &View,
        direction: Direction,
        lease: &mut SyncLease,
        on_progress: OnProgress<'_>,
    ) -> Result<SyncReport> {
        let mut report = SyncReport {
            direction,
            passes: 0,
            compared: 0,
            repaired: 0,
            failed: 0,
            complete: false,
        };
        let mut pass = self.resumable_pass(view, lease).await?;
        while report.passes < PASSES_MAX {
            self.run_pass(view, direction, &mut pass, lease, on_progress)
                .await?;
            report.passes += 1;
            report.compared += pass.compared;
            report.repaired += pass.repaired;
            report.failed = pass.failed;
            if is_clean(view, &pass) && self.mark_complete(view, &pass, lease).await? {
                report.complete = true;
                return Ok(report);
            }
            if pass.failed > 0 {
                break;
            }
            pass = self.new_pass(view, pass.number + 1).await?;
        }
        Ok(report)
    }

    async fn resumable_pass(&self, view: &View, lease: &mut SyncLease) -> Result<PassRecord> {
        let record = self.sync_record(&view.kind).await?.0;
        lease.saved.clone_from(&record.pass);
        match record.pass {
            // One that came to its end has nothing to go on with, and has counted what failed.
            Some(pass) if pass.goes_on(view.record.epoch) => Ok(pass),
            Some(_) | None => self.new_pass(view, 1).await,
        }
    }

    async fn new_pass(&self, view: &View, number: u32) -> Result<PassRecord> {
        let started_at = self.newest(Side::Unified).await?.get();
        if !view.mode.writes_reach(Side::Legacy) {
            self.refuse_older_copies(view).await?;
        }
        Ok(PassRecord {
            epoch: view.record.epoch,
            number,
            started_at,
            ..PassRecord::default()
        })
    }

    /// Makes legacy refuse what copies before this pass sent and what comes late, by a control
    /// record at a new revision. Nothing else stops them where writers take no intents: an object
    /// that was deleted since is in neither store, as it was when it was sent.
    async fn refuse_older_copies(&self, view: &View) -> Result<()> {
        let copy = self.copy(&view.kind, Side::Legacy).await?;
        self.refuse_newer(view, &copy)?;
        let record = copy.record.as_ref().unwrap_or(&view.record);
        self.propagate(&view.kind, Side::Legacy, record, &copy)
            .await
    }

    /// Goes over both stores once, from where the pass stands.
    async fn run_pass(
        &self,
        view: &View,
        direction: Direction,
        pass: &mut PassRecord,
        lease: &mut SyncLease,
        on_progress: OnProgress<'_>,
    ) -> Result<()> {
        let total = self.count_objects(&view.kind).await;
        let limit = self.options.config.data_sync_records_limit;
        loop {
            let after = pass.after.as_ref().map(|(namespace, name)| {
                let (group, resource) = (view.kind.group(), view.kind.resource());
                ResourceKey::new(group, resource, namespace.as_str(), name.as_str())
            });
            let stretch = self
                .stretch(&view.kind, after.transpose()?.as_ref(), limit)
                .await?;
            let mut differing = Vec::new();
            for pair in &stretch.pairs {
                pass.compared += 1;
                if is_same(pair.legacy.as_ref(), pair.unified.as_ref()) {
                    continue;
                }
                if planted(Bug::SyncWithoutReread) {
                    let (source, target) = (pair.legacy.as_ref(), pair.unified.as_ref());
                    self.copy_as_listed(&pair.key, source, target).await?;
                    continue;
                }
                differing.push(pair.key.clone());
            }
            for batch in differing.chunks(COPY_BATCH) {
                self.settle_batch(view, direction, batch, pass).await?;
                if lease.is_old() {
                    self.renew_lease(lease).await?;
                }
            }
            pass.after = stretch
                .end
                .as_ref()
                .map(|end| (end.namespace().to_owned(), end.name().to_owned()));
            self.save_pass(view, pass, lease).await?;
            on_progress(Progress {
                pass: pass.number,
                compared: pass.compared,
                repaired: pass.repaired,
                failed: pass.failed,
                total,
            });
            if stretch.end.is_none() {
                return Ok(());
            }
        }
    }

    /// Makes some objects equal; waits for those that somebody writes.
    async fn settle_batch(
        &self,
        view: &View,
        direction: Direction,
        batch: &[ResourceKey],
        pass: &mut PassRecord,
    ) -> Result<()> {
        let mut left = batch.to_vec();
        for _ in 0..BUSY_ATTEMPTS {
            let copied = self.copy_objects(view, &left, direction).await?;
            let mut busy = Vec::new();
            for (object, copied) in left.into_iter().zip(copied) {
                match copied {
                    Copied::Equal => {}
                    Copied::Put | Copied::Deleted => pass.repaired += 1,
                    Copied::Busy => busy.push(object),
                }
            }
            if busy.is_empty() {
                return Ok(());
            }
            if !self.held(view).await? {
                let context = format!("the mode of {} changed", view.kind);
                return Err(Error::new(ErrorKind::Unavailable, "sync", context));
            }
            let deadline = Instant::now() + self.options.patience;
            for object in &busy {
                let _ = self.settle(object, deadline).await;
            }
            left = busy;
        }
        pass.failed += left.len() as u64;
        Ok(())
    }

    pub(crate) async fn count_objects(&self, kind: &Kind) -> u64 {
        let mut total = 0;
        for side in [Side::Legacy, Side::Unified] {
            let stats = self
                .store(side)
                .stats(&kind.scope())
                .await
                .unwrap_or_default();
            total = total.max(stats.iter().map(|s| s.count).sum());
        }
        total
    }

    /// Applies to legacy what changed in unified since a reverse sync, while nobody writes.
    pub(crate) async fn reverse_delta(&self, view: &View, after: Revision) -> Result<()> {
        let mut query = ChangesQuery::new(view.kind.scope(), after);
        if query.scope.is_internal() {
            // Of internal records stores keep no changes.
            return self.reverse_all(view).await;
        }
        loop {
            let changes = match self.unified.changes(&query).await {
                Ok(changes) => changes,
                Err(error) if error.kind() == ErrorKind::Expired => {
                    return self.reverse_all(view).await;
                }
                Err(error) => return Err(error),
            };
            let mut objects: Vec<ResourceKey> = changes
                .changes
                .iter()
                .map(|c| c.object.key.clone())
                .collect();
            objects.sort();
            objects.dedup();
            for batch in objects.chunks(COPY_BATCH) {
                self.reverse_batch(view, batch).await?;
            }
            if changes.changes.is_empty() {
                return Ok(());
            }
            query.after = changes.through;
        }
    }

    async fn reverse_all(&self, view: &View) -> Result<()> {
        let limit = self.options.config.data_sync_records_limit;
        let mut after = None;
        loop {
            let stretch = self.stretch(&view.kind, after.as_ref(), limit).await?;
            let keys: Vec<ResourceKey> = stretch.pairs.into_iter().map(|pair| pair.key).collect();
            for batch in keys.chunks(COPY_BATCH) {
                self.reverse_batch(view, batch).await?;
            }
            match stretch.end {
                Some(end) => after = Some(end),
                None => return Ok(()),
            }
        }
    }

    async fn reverse_batch(&self, view: &View, batch: &[ResourceKey]) -> Result<()> {
        let mut left = batch.to_vec();
        for _ in 0..BUSY_ATTEMPTS {
            let copied = self.copy_objects(view, &left, Direction::Reverse).await?;
            let busy = left
                .into_iter()
                .zip(copied)
                .filter(|(_, c)| *c == Copied::Busy);
            left = busy.map(|(object, _)| object).collect();
            if left.is_empty() {
                return Ok(());
            }
        }
        let context = format!("{} objects are being written", left.len());
        Err(Error::new(ErrorKind::Unavailable, "sync", context))
    }

    /// Reads the state of a kind's sync, and the condition that it stays so.
    pub(crate) async fn sync_record(&self, kind: &Kind) -> Result<(SyncRecord, Precondition)> {
        match self.unified.get(&self.keys.sync(kind), None).await? {
            Some(stored) => Ok((from_json(&stored)?, Precondition::Revision(stored.revision))),
            None => Ok((SyncRecord::default(), Precondition::Absent)),
        }
    }

    async fn save_pass(
        &self,
        view: &View,
        pass: &mut PassRecord,
        lease: &mut SyncLease,
    ) -> Result<()> {
        self.renew_lease(lease).await?;
        let (mut record, unchanged) = self.sync_record(&view.kind).await?;
        pass.disturbed |= record.pass != lease.saved;
        record.pass = Some(pass.clone());
        self.write_sync(view, &record, unchanged, lease).await?;
        lease.saved = record.pass;
        Ok(())
    }

    /// Sets the mark, unless something was found to differ since the pass began: it may be what the
    /// pass had compared before.
    async fn mark_complete(
        &self,
        view: &View,
        pass: &PassRecord,
        lease: &SyncLease,
    ) -> Result<bool> {
        let (known, unchanged) = self.sync_record(&view.kind).await?;
        if known.pass != lease.saved {
            return Ok(false);
        }
        let record = SyncRecord {
            complete_epoch: Some(view.record.epoch),
            through: pass.started_at,
            complete_at_ms: self.now().as_millis(),
            cleared: None,
            pass: None,
        };
        self.write_sync(view, &record, unchanged, lease).await?;
        Ok(true)
    }

    /// Writes it if the lease and the epoch still hold.
    async fn write_sync(
        &self,
        view: &View,
        record: &SyncRecord,
        unchanged: Precondition,
        lease: &SyncLease,
    ) -> Result<()> {
        match self.try_write_sync(view, record, unchanged, lease).await? {
            Outcome::Committed { .. } => Ok(()),
            Outcome::Conflict(conflict) if self.is_epoch_conflict(&conflict) => {
                let context = format!("the mode of {} changed", view.kind);
                Err(Error::new(ErrorKind::Unavailable, "sync", context))
            }
            Outcome::Conflict(_) => {
                let context = format!("another process took over the sync of {}", view.kind);
                Err(Error::new(ErrorKind::Unavailable, "sync", context))
            }
        }
    }

    async fn try_write_sync(
        &self,
        view: &View,
        record: &SyncRecord,
        unchanged: Precondition,
        lease: &SyncLease,
    ) -> Result<Outcome> {
        let held = Precondition::Revision(lease.revision);
        let mut write = Transaction::put(self.keys.sync(&view.kind), unchanged, to_json(record))
            .and(Write::check(lease.key.clone(), held));
        if view.unified.is_some() {
            write = write.and(view.guard(Side::Unified)?);
        }
        self.unified.commit_one(write).await
    }

    /// Clears the mark after a sync that failed. Not if another process took over or the mode
    /// changed: then the mark, if there is one, is not about this sync.
    async fn clear_mark_of(&self, view: &View, lease: &mut SyncLease, why: &str) {
        for _ in 0..BUSY_ATTEMPTS {
            let cleared = async {
                let (record, unchanged) = self.sync_record(&view.kind).await?;
                let record = without_mark(record, why);
                self.try_write_sync(view, &record, unchanged, lease).await
            };
            match cleared.await {
                Ok(Outcome::Conflict(conflict)) if conflict.key == self.keys.sync(&view.kind) => {}
                Ok(Outcome::Conflict(conflict)) if conflict.key == lease.key => {
                    // Renewed by a call of which nobody knew what became?
                    match self.own_lease(&lease.key).await {
                        Ok(Some(revision)) => lease.revision = revision,
                        Ok(None) => return,
                        Err(_) => break,
                    }
                }
                Ok(Outcome::Committed { .. } | Outcome::Conflict(_)) => return,
                Err(error) => {
                    let kind = &view.kind;
                    tracing::warn!(%kind, %error, why, "the sync mark could not be cleared yet");
                    break;
                }
            }
        }
        self.uncleared
            .lock()
            .insert(view.kind.clone(), why.to_owned());
    }

    /// Clears the mark of a completed sync, and has one that is under way begin its pass again. What
    /// cannot be cleared now is cleared later.
    pub(crate) async fn clear_mark(&self, kind: &Kind, why: &str) {
        for _ in 0..BUSY_ATTEMPTS {
            match self.try_clear_mark(kind, why).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%kind, %error, why, "the sync mark could not be cleared yet");
                    break;
                }
            }
        }
        self.uncleared.lock().insert(kind.clone(), why.to_owned());
    }

    async fn try_clear_mark(&self, kind: &Kind, why: &str) -> Result<bool> {
        let (record, unchanged) = self.sync_record(kind).await?;
        if record.complete_epoch.is_none() && record.cleared.is_some() && record.pass.is_none() {
            return Ok(true);
        }
        let record = SyncRecord {
            pass: None,
            ..without_mark(record, why)
        };
        let put = Transaction::put(self.keys.sync(kind), unchanged, to_json(&record));
        Ok(self.unified.commit_one(put).await?.revision().is_some())
    }
}

fn without_mark(record: SyncRecord, why: &str) -> SyncRecord {
    SyncRecord {
        complete_epoch: None,
        cleared: Some(why.to_owned()),
        ..record
    }
}

/// Returns the direction in which a kind is synced now.
pub(crate) fn syncable(view: &View) -> Result<Direction> {
    let refuse = |why: String| Err(Error::invalid("sync", why));
    if view.is_changing() {
        return refuse(format!("the mode of {} is changing", view.kind));
    }
    match view.mode {
        Mode::Zero => refuse(format!(
            "{} is in mode 0, which has no sync; modes 1 to 5 are allowed",
            view.kind
        )),
        Mode::Four | Mode::Five if view.record.coverage == Coverage::Partial => refuse(format!(
            "{} came to mode {} without a sync: a reverse sync would delete from legacy what \
             unified never had",
            view.kind, view.mode
        )),
        Mode::One | Mode::Two | Mode::Three | Mode::Four | Mode::Five => {
            Ok(Direction::from(view.authority()))
        }
    }
}

/// Tells whether nothing is left to do after a pass. In modes 4 and 5, whose writes do not reach
/// legacy, what comes after the start of the pass is left to the change of mode.
fn is_clean(view: &View, pass: &PassRecord) -> bool {
    pass.failed == 0
        && !pass.disturbed
        && (pass.repaired == 0 || !view.mode.writes_reach(Side::Legacy))
}
