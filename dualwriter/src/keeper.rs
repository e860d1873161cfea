//! The background of a process: follows the stores' heads, keeps views fresh, helps writes that
//! nobody finishes, works off the queue of mode 1, syncs at its interval.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::BoxFuture;
use storage_core::{ResourceKey, Revision, StorageBackend};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::copy::{Copied, Direction};
use crate::inner::Inner;
use crate::mode::Syncing;
use crate::queue::Task;
use crate::{DataSync, Kind, Mode, Side, observe};

/// How often a process renews what it knows before it cannot rely on it any longer.
const TICKS_PER_LEASE: u32 = 4;
/// In one of so many of these rounds it looks for kinds that nobody asks it for.
const LOOK_UP_ROUNDS: u64 = 16;
/// Objects that the queue's worker takes at a time.
const QUEUE_BATCH: usize = 64;
/// How long the worker leaves unified alone after an error.
const QUEUE_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

/// Returns what runs as long as a dual writer is open.
pub(crate) fn tasks(inner: &Arc<Inner>) -> Vec<BoxFuture<'static, ()>> {
    let mut tasks: Vec<BoxFuture<'static, ()>> = Vec::new();
    for side in [Side::Legacy, Side::Unified] {
        tasks.push(Box::pin(follow_head(Arc::clone(inner), side)));
    }
    tasks.push(Box::pin(keep(Arc::clone(inner))));
    tasks.push(Box::pin(work_off(Arc::clone(inner))));
    if inner.options.config.data_sync == DataSync::Enabled {
        tasks.push(Box::pin(sync_at_interval(Arc::clone(inner))));
    }
    tasks
}

/// Passes on the head of a store that is read for some kind.
async fn follow_head(inner: Arc<Inner>, side: Side) {
    let mut head: watch::Receiver<Revision> = inner.store(side).head();
    while head.changed().await.is_ok() {
        let revision = *head.borrow_and_update();
        if inner.reads_from(side) {
            inner.publish(revision);
        }
    }
}

/// Looks after modes and unfinished writes.
async fn keep(inner: Arc<Inner>) {
    let mut tick = interval(inner.options.lease / TICKS_PER_LEASE);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = BTreeMap::new();
    let mut changing = BTreeMap::new();
    for number in 0_u64.. {
        tick.tick().await;
        if number % LOOK_UP_ROUNDS == 0 {
            inner.look_up_kinds().await;
        }
        inner.refresh_views(&mut changing).await;
        inner.help_stuck(&mut seen).await;
        inner.clear_left_marks().await;
    }
}

/// Works off the queue of mode 1.
async fn work_off(inner: Arc<Inner>) {
    loop {
        inner.queue.arrived().await;
        loop {
            let (tasks, overflowed) = inner.queue.take(QUEUE_BATCH);
            for kind in overflowed.iter().map(Kind::of).collect::<BTreeSet<Kind>>() {
                inner
                    .clear_mark(&kind, "the queue of mode 1 overflowed")
                    .await;
            }
            if tasks.is_empty() {
                break;
            }
            inner.work(tasks).await;
        }
    }
}

/// Syncs each kind whose mode has it run.
async fn sync_at_interval(inner: Arc<Inner>) {
    loop {
        sleep(inner.options.config.data_sync_interval).await;
        for kind in inner.seen_kinds() {
            let Ok(view) = inner.view(&kind).await else {
                continue;
            };
            if view.mode.policy().syncing != Syncing::Runs {
                continue;
            }
            if let Err(error) = inner.sync(&kind, &mut |_| {}).await {
                tracing::warn!(%kind, %error, "the sync did not finish, the next one goes on");
            }
        }
    }
}

impl Inner {
    /// Tells whether some kind that this process knows of is read from a store.
    pub(crate) fn reads_from(&self, side: Side) -> bool {
        let default = self.default.mode().map(|mode| mode.read_side());
        let views = self.views.read();
        default.is_ok_and(|default| default == side)
            || views.values().any(|view| view.mode.read_side() == side)
    }

    /// Tells whether some kind that this process knows of is read from a store or written to it.
    pub(crate) fn relies_on(&self, side: Side) -> bool {
        let relies = |mode: Mode| mode.writes_reach(side) || mode.read_side() == side;
        let views = self.views.read();
        self.default.mode().is_ok_and(relies) || views.values().any(|view| relies(view.mode))
    }

    /// Finds the kinds that nobody asks this process for: others may leave something of them, too.
    async fn look_up_kinds(&self) {
        let Ok(kinds) = self.known_kinds().await else {
            return;
        };
        for kind in kinds {
            if let Err(error) = self.view(&kind).await {
                tracing::debug!(%kind, %error, "a mode cannot be looked up yet");
            }
        }
    }

    fn seen_kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = self.views.read().keys().cloned().collect();
        kinds.sort();
        kinds
    }

    /// Renews what this process knows, and goes on with changes of mode that nobody goes on with.
    async fn refresh_views(&self, changing: &mut BTreeMap<Kind, (u64, Instant)>) {
        for kind in self.seen_kinds() {
            let Ok(view) = self.load(&kind).await else {
                continue;
            };
            if !view.is_changing() {
                changing.remove(&kind);
                continue;
            }
            let epoch = view.record.epoch;
            let known = changing
                .entry(kind.clone())
                .or_insert((epoch, Instant::now()));
            if known.0 != epoch {
                *known = (epoch, Instant::now());
            }
            if known.1.elapsed() >= self.options.lease * 2
                && let Err(error) = self.finish_change(&kind).await
            {
                tracing::warn!(%kind, %error, "an interrupted change of mode cannot go on yet");
            }
        }
    }

    /// Finishes writes that did not move between two looks.
    async fn help_stuck(&self, seen: &mut BTreeMap<ResourceKey, Revision>) {
        // A kind that came back to mode 0 may have left a copy behind that was begun before.
        let used_unified =
            |view: &Arc<crate::view::View>| view.mode != Mode::Zero || view.record.epoch > 0;
        if !self.views.read().values().any(used_unified) {
            return;
        }
        let Ok(intents) = self.list_intents(self.keys.all_intents()).await else {
            return;
        };
        let (mut now, mut oldest) = (BTreeMap::new(), 0);
        for intent in intents {
            let age = self.now().as_millis().saturating_sub(intent.started_ms);
            oldest = oldest.max(age);
            let object = intent.object;
            if seen.get(&object) == Some(&intent.revision)
                && let Err(error) = self.help_listed(&object, intent.revision).await
            {
                tracing::warn!(%object, %error, "an unfinished write cannot be finished yet");
            }
            now.insert(object, intent.revision);
        }
        observe::intents(now.len(), std::time::Duration::from_millis(oldest));
        *seen = now;
    }

    /// Finishes a write that did not move, unless it is gone or was taken over since it was listed:
    /// the helps before this one may have taken long, and a write that began meanwhile is alive.
    async fn help_listed(
        &self,
        object: &ResourceKey,
        listed: Revision,
    ) -> storage_core::Result<()> {
        let now = self.intent(object).await?;
        if now.is_some_and(|now| now.revision == listed) {
            self.help(object).await?;
        }
        Ok(())
    }

    async fn clear_left_marks(&self) {
        let left = std::mem::take(&mut *self.uncleared.lock());
        for (kind, why) in left {
            self.clear_mark(&kind, &why).await;
        }
    }

    /// Does some of what mode 1 left to the background.
    async fn work(&self, tasks: Vec<(ResourceKey, Task)>) {
        let mut by_kind: BTreeMap<Kind, Vec<(ResourceKey, Task)>> = BTreeMap::new();
        for (key, task) in tasks {
            by_kind.entry(Kind::of(&key)).or_default().push((key, task));
        }
        for (kind, tasks) in by_kind {
            let of = |wanted: Task| {
                let wanted = tasks.iter().filter(move |(_, task)| *task == wanted);
                wanted
                    .map(|(key, _)| key.clone())
                    .collect::<Vec<ResourceKey>>()
            };
            let (writes, comparisons) = (of(Task::Write), of(Task::Compare));
            if let Err(error) = self.write_behind(&kind, writes).await {
                observe::background_error("write");
                tracing::warn!(%kind, %error, "unified misses writes, the sync will find them");
                self.clear_mark(&kind, &format!("a background write failed: {error}"))
                    .await;
                sleep(QUEUE_PAUSE).await;
                continue;
            }
            for key in comparisons {
                self.compare_behind(&kind, &key).await;
            }
        }
    }

    async fn write_behind(
        &self,
        kind: &Kind,
        writes: Vec<ResourceKey>,
    ) -> storage_core::Result<()> {
        let view = self.view(kind).await?;
        if writes.is_empty() || view.authority() == Side::Unified || view.mode == Mode::Zero {
            return Ok(());
        }
        let copied = self
            .copy_objects(&view, &writes, Direction::Forward)
            .await?;
        let busy = writes
            .iter()
            .zip(copied)
            .filter(|(_, copied)| *copied == Copied::Busy);
        for (key, _) in busy {
            self.settle(key, Instant::now() + self.options.patience)
                .await?;
            self.queue.push_writes(std::iter::once(key.clone()));
        }
        Ok(())
    }

    async fn compare_behind(&self, kind: &Kind, key: &ResourceKey) {
        let (legacy, unified) =
            futures::join!(self.legacy.get(key, None), self.unified.get(key, None));
        match (legacy, unified) {
            (Ok(Some(legacy)), Ok(Some(unified))) if legacy.value != unified.value => {
                observe::read_difference(kind);
            }
            (Ok(Some(_)), Ok(None)) | (Ok(None), Ok(Some(_))) => observe::read_difference(kind),
            (Ok(_), Ok(_)) => {}
            (Err(_), _) | (_, Err(_)) => observe::background_error("read"),
        }
    }
}
