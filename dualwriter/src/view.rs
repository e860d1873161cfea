use std::borrow::Borrow;
use std::sync::Arc;

use storage_core::{
    Conflict, Error, ErrorKind, Precondition, ResourceKey, Result, Revision, StorageBackendExt,
    Transaction, Write,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::bugs::{Bug, planted};
use crate::inner::{Inner, closed};
use crate::observe::{Operation, Requests, Status};
use crate::record::{InstanceRecord, ModeRecord, ReadsMeanwhile, from_json, to_json};
use crate::{Kind, Mode, Side};

/// How often a load starts again when records change under it.
const LOAD_ATTEMPTS: usize = 16;
/// How long a waiting request sleeps before it looks again; doubled each time.
pub(crate) const POLL_MIN: std::time::Duration = std::time::Duration::from_millis(2);
/// Longest such sleep.
pub(crate) const POLL_MAX: std::time::Duration = std::time::Duration::from_millis(50);

/// What this process knows of a kind's mode, and until when it may rely on it.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) kind: Kind,
    pub(crate) mode: Mode,
    pub(crate) record: ModeRecord,
    /// Holds in legacy as long as the epoch lasts; absent where legacy is not written.
    pub(crate) legacy: Option<Precondition>,
    /// Holds in unified as long as the epoch lasts; absent where unified is not written.
    pub(crate) unified: Option<Precondition>,
    /// The key of the control record.
    pub(crate) key: ResourceKey,
    pub(crate) valid_until: Instant,
    /// How often it was asked what.
    pub(crate) requests: Arc<Requests>,
}

impl View {
    pub(crate) fn floor(&self) -> Revision {
        Revision::new(self.record.floor)
    }

    pub(crate) fn is_changing(&self) -> bool {
        self.record.change.is_some()
    }

    /// Tells whether a change has come to where reads wait for its end.
    fn holds_reads(&self) -> bool {
        let change = self.record.change.as_ref();
        change.is_some_and(|change| change.reads == ReadsMeanwhile::Held)
    }

    pub(crate) fn authority(&self) -> Side {
        self.record.authority.into()
    }

    /// Tells whether a write that began in `epoch` may still be finished: nothing passed it by,
    /// since a change is not through before it is settled.
    pub(crate) fn allows_finishing(&self, epoch: u64) -> bool {
        let own = self.record.epoch;
        own == epoch || (self.is_changing() && own == epoch + 1)
    }

    /// Counts a request that it answered.
    pub(crate) fn count(&self, operation: Operation, status: Status) {
        self.requests
            .count(&self.kind, self.mode, operation, status);
    }

    /// Returns the check that a store refuses once the epoch has passed.
    pub(crate) fn guard(&self, side: Side) -> Result<Write> {
        let precondition = match side {
            Side::Legacy => self.legacy,
            Side::Unified => self.unified,
        };
        let precondition = precondition.ok_or_else(|| {
            let context = format!("{} has no control record in {side}", self.kind);
            Error::new(ErrorKind::Internal, "guard a write", context)
        })?;
        let precondition = if planted(Bug::NoEpochCheck) {
            Precondition::Any
        } else {
            precondition
        };
        Ok(Write::check(self.key.clone(), precondition))
    }
}

/// A look at a kind's control records, under way or done.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    began: Instant,
    seen: watch::Receiver<Option<Result<Arc<View>>>>,
}

/// One store's copy of a mode record.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) record: Option<ModeRecord>,
    pub(crate) revision: Option<Revision>,
}

impl Copy {
    fn epoch(&self) -> Option<u64> {
        self.record.as_ref().map(|record| record.epoch)
    }

    pub(crate) fn unchanged(&self) -> Precondition {
        self.revision
            .map_or(Precondition::Absent, Precondition::Revision)
    }
}

impl Inner {
    /// Returns what may be relied on now, looking it up if need be. Callers that come at the same time
    /// share one look, also if it fails.
    pub(crate) async fn view(&self, kind: &Kind) -> Result<Arc<View>> {
        let called = Instant::now();
        loop {
            if let Some(view) = self.steady(kind) {
                return Ok(view);
            }
            let (mut look, whose) = self.look(kind);
            let seen = look.seen.wait_for(Option::is_some).await;
            let seen = seen.map_err(|_| closed())?.clone();
            // One that began before may have read what was replaced since.
            if let Some(seen) = seen.filter(|_| whose == Whose::Own || look.began > called) {
                return seen;
            }
        }
    }

    /// Joins the look at a kind's mode that is under way, or begins one.
    fn look(&self, kind: &Kind) -> (Look, Whose) {
        let mut looks = self.looks.lock();
        let under_way =
            |look: &&Look| look.seen.borrow().is_none() && look.seen.has_changed().is_ok();
        if let Some(look) = looks.get(kind).filter(under_way) {
            return (look.clone(), Whose::Others);
        }
        let (tell, seen) = watch::channel(None);
        let look = Look {
            began: Instant::now(),
            seen,
        };
        looks.insert(kind.clone(), look.clone());
        let kind = kind.clone();
        self.start(|inner| async move {
            let seen = inner.load_here(&kind).await;
            tell.send_replace(Some(seen));
        });
        (look, Whose::Own)
    }

    /// Returns what may be relied on without looking it up.
    pub(crate) fn steady(&self, kind: &Kind) -> Option<Arc<View>> {
        self.steady_of(kind.borrow())
    }

    /// The same, for the kind of an object's key.
    pub(crate) fn steady_of(&self, group_resource: &str) -> Option<Arc<View>> {
        let view = self.views.read().get(group_resource).cloned()?;
        (!view.is_changing() && Instant::now() < view.valid_until).then_some(view)
    }

    fn cached(&self, kind: &Kind) -> Option<Arc<View>> {
        self.views.read().get(kind).cloned()
    }

    /// Tells whether a view held all the time until now.
    pub(crate) async fn held(&self, view: &View) -> Result<bool> {
        if planted(Bug::NoLease) {
            return Ok(true);
        }
        if !view.is_changing()
            && let Some(now) = self.cached(&view.kind)
            && now.record.epoch == view.record.epoch
            && Instant::now() < now.valid_until
        {
            return Ok(true);
        }
        let now = self.load(&view.kind).await?;
        Ok(now.record.epoch == view.record.epoch && !now.holds_reads())
    }

    /// Returns a view whose kind takes writes, waiting for a change of mode to be through.
    pub(crate) async fn writable(&self, kind: &Kind, deadline: Instant) -> Result<Arc<View>> {
        self.view_when(|view| !view.is_changing(), kind, deadline)
            .await
    }

    /// Returns a view whose kind answers reads, waiting for the end of a change of mode if need be.
    pub(crate) async fn readable(&self, kind: &Kind, deadline: Instant) -> Result<Arc<View>> {
        self.view_when(|view| !view.holds_reads(), kind, deadline)
            .await
    }

    async fn view_when(
        &self,
        is_ready: fn(&View) -> bool,
        kind: &Kind,
        deadline: Instant,
    ) -> Result<Arc<View>> {
        let mut pause = POLL_MIN;
        loop {
            let view = self.view(kind).await?;
            if is_ready(&view) {
                return Ok(view);
            }
            if Instant::now() + pause >= deadline {
                let to = view
                    .record
                    .change
                    .as_ref()
                    .map_or(view.record.mode, |c| c.to);
                let context = format!("{kind} is changing from mode {} to mode {to}", view.mode);
                return Err(Error::new(ErrorKind::Unavailable, "wait", context));
            }
            sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
        }
    }

    /// Reads the control records of a kind and remembers what they say. A caller that is not polled
    /// any more, such as a watch whose client does not read, holds up nobody by it.
    pub(crate) async fn load(&self, kind: &Kind) -> Result<Arc<View>> {
        let kind = kind.clone();
        let loaded = self.start(|inner| async move { inner.load_here(&kind).await });
        loaded.await.unwrap_or_else(|_| Err(closed()))
    }

    async fn load_here(&self, kind: &Kind) -> Result<Arc<View>> {
        for _ in 0..LOAD_ATTEMPTS {
            let started = Instant::now();
            let Some(view) = self.try_load(kind, started).await? else {
                continue;
            };
            let view = Arc::new(view);
            self.remember(&view);
            if !view.is_changing() || self.acknowledge(&view).await? {
                return Ok(view);
            }
        }
        let context = format!("the control records of {kind} keep changing");
        Err(Error::new(
            ErrorKind::Unavailable,
            "look up a mode",
            context,
        ))
    }

    /// Reads it once; none if it must be read again.
    async fn try_load(&self, kind: &Kind, started: Instant) -> Result<Option<View>> {
        let Some((record, home, copy)) = self.decisive(kind).await? else {
            return Ok(None);
        };
        let mode = record.mode()?;
        let other = home.other();
        let mut guards = [None, None];
        guards[index(home)] = Some(copy.unchanged());
        if mode.writes_reach(other) {
            match self.follow(kind, other, &record, &copy).await? {
                Some(unchanged) => guards[index(other)] = Some(unchanged),
                None => return Ok(None),
            }
        }
        // Registered before the record was read: who changes the mode later sees this process.
        if self.register(home).await? == Registered::Now {
            return Ok(None);
        }
        Ok(Some(View {
            kind: kind.clone(),
            mode,
            record,
            legacy: guards[0],
            unified: guards[1],
            key: self.keys.mode(kind),
            valid_until: started + self.options.lease,
            requests: Arc::default(),
        }))
    }

    fn remember(&self, view: &Arc<View>) {
        let mut views = self.views.write();
        let newer = views.get(&view.kind).is_none_or(|known| {
            (known.record.epoch, known.valid_until) <= (view.record.epoch, view.valid_until)
        });
        if newer {
            views.insert(view.kind.clone(), Arc::clone(view));
            drop(views);
            // What the store came to before it was read for any kind.
            self.publish(*self.store(view.mode.read_side()).head().borrow());
        }
    }

    /// Finds the copy that decides: the one in the home of the mode that it names.
    pub(crate) async fn decisive(&self, kind: &Kind) -> Result<Option<(ModeRecord, Side, Copy)>> {
        let hint = match self.cached(kind) {
            Some(view) => view.mode.home(),
            None => self.default.mode()?.home(),
        };
        let mut side = hint;
        let mut first = match self.copy(kind, side).await {
            Ok(copy) => copy,
            Err(error) => {
                // The kind may have moved away from the store that cannot be reached.
                side = side.other();
                let copy = self.copy(kind, side).await.map_err(|_| error.clone())?;
                if self.home_of(&copy)? != side {
                    return Err(error);
                }
                copy
            }
        };
        for _ in 0..4 {
            let home = self.home_of(&first)?;
            if home == side {
                let record = first.record.clone();
                let record = record.unwrap_or_else(|| self.default.of_kind(kind));
                return Ok(Some((record, home, first)));
            }
            let second = self.copy(kind, home).await?;
            if let Some(record) = &first.record
                && second.epoch() < Some(record.epoch)
            {
                // A change was decided and interrupted before the new home was told.
                self.propagate(kind, home, record, &second).await?;
                return Ok(None);
            }
            (first, side) = (second, home);
        }
        Ok(None)
    }

    fn home_of(&self, copy: &Copy) -> Result<Side> {
        let record = copy.record.as_ref().unwrap_or(&self.default);
        Ok(record.mode()?.home())
    }

    /// Reads one store's copy of a mode record.
    pub(crate) async fn copy(&self, kind: &Kind, side: Side) -> Result<Copy> {
        let stored = self.store(side).get(&self.keys.mode(kind), None).await?;
        Ok(Copy {
            revision: stored.as_ref().map(|s| s.revision),
            record: stored.as_ref().map(from_json).transpose()?,
        })
    }

    /// Brings the other store's copy up to the decisive one. Returns the condition under which it
    /// stays so, or none if the decisive copy has to be read again.
    async fn follow(
        &self,
        kind: &Kind,
        side: Side,
        record: &ModeRecord,
        decisive: &Copy,
    ) -> Result<Option<Precondition>> {
        let copy = self.copy(kind, side).await?;
        if decisive.record.is_none() {
            // Nobody changed this kind's mode yet. A record here is of a change that just began.
            return Ok(copy.record.is_none().then_some(Precondition::Absent));
        }
        match copy.epoch() {
            Some(epoch) if epoch == record.epoch => Ok(Some(copy.unchanged())),
            Some(epoch) if epoch > record.epoch => Ok(None),
            Some(_) | None => {
                self.propagate(kind, side, record, &copy).await?;
                Ok(None)
            }
        }
    }

    /// Replaces an older copy. Losing a race is fine: somebody else did it.
    pub(crate) async fn propagate(
        &self,
        kind: &Kind,
        side: Side,
        record: &ModeRecord,
        old: &Copy,
    ) -> Result<()> {
        let put = Transaction::put(self.keys.mode(kind), old.unchanged(), to_json(record));
        self.store(side).commit_one(put).await?;
        Ok(())
    }

    async fn register(&self, side: Side) -> Result<Registered> {
        let key = self.keys.instance(&self.options.instance.to_string());
        if let Some(stored) = self.store(side).get(&key, None).await? {
            let told = from_json::<InstanceRecord>(&stored)?.acknowledged;
            let acknowledged = self.acknowledged.lock().await;
            // An acknowledgement may have failed to get there.
            if acknowledged
                .iter()
                .all(|(id, epoch)| told.get(id) >= Some(epoch))
            {
                return Ok(Registered::Before);
            }
        }
        self.write_instance(side, key).await?;
        Ok(Registered::Now)
    }

    /// Takes this process out of those that answer reads, in both stores.
    pub(crate) async fn deregister(&self) -> Result<()> {
        self.views.write().clear();
        let key = self.keys.instance(&self.options.instance.to_string());
        let remove = || Transaction::delete(key.clone(), Precondition::Any, "");
        let legacy = self.legacy.commit_one(remove()).await;
        let unified = self.unified.commit_one(remove()).await;
        legacy.and(unified).map(drop)
    }

    async fn write_instance(&self, side: Side, key: ResourceKey) -> Result<()> {
        let acknowledged = self.acknowledged.lock().await;
        let record = InstanceRecord {
            acknowledged: acknowledged.clone(),
        };
        let put = Transaction::put(key, Precondition::Any, to_json(&record));
        self.store(side).commit_one(put).await?;
        Ok(())
    }

    /// Tells whoever changes the mode that this process knows of it. From now on it looks after
    /// each read whether the change is through.
    async fn acknowledge(&self, view: &View) -> Result<bool> {
        let known = self.cached(&view.kind).map(|known| known.record.epoch);
        if known != Some(view.record.epoch) {
            return Ok(false);
        }
        {
            let mut acknowledged = self.acknowledged.lock().await;
            let epoch = acknowledged.entry(view.kind.id()).or_default();
            if *epoch >= view.record.epoch {
                return Ok(true);
            }
            *epoch = view.record.epoch;
        }
        let key = self.keys.instance(&self.options.instance.to_string());
        self.write_instance(view.mode.home(), key).await?;
        Ok(true)
    }

    /// Tells whether a conflict says that the epoch passed, and forgets what was known then.
    pub(crate) fn is_epoch_conflict(&self, conflict: &Conflict) -> bool {
        self.keys.is_mode(&conflict.key)
    }

    /// Forgets a view, so that the next request looks it up.
    pub(crate) fn forget(&self, kind: &Kind) {
        if let Some(view) = self.views.write().get_mut(kind) {
            let mut stale = (**view).clone();
            stale.valid_until = Instant::now();
            *view = Arc::new(stale);
        }
    }
}

/// Who began a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Own,
    Others,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Registered {
    Before,
    Now,
}

const fn index(side: Side) -> usize {
    match side {
        Side::Legacy => 0,
        Side::Unified => 1,
    }
}
