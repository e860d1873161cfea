use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use storage_core::{
    Change, ChangeKind, Error, ErrorKind, INTERNAL_GROUP, ListQuery, Order, Page, ResourceKey,
    Revision, Scope, StorageBackend, Stored, WatchEvent, WatchQuery, watch,
};
use tokio::time::timeout;

use crate::world::{Process, World, kind};

/// How long a watcher waits before it looks whether its process is alive.
const LOOK: Duration = Duration::from_millis(100);
/// How long a change may take to reach a watch when nothing fails.
const DELIVERY_BOUND: Duration = Duration::from_secs(5);

/// What a watcher knows: the objects of a list and each change after it.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The records of the mode before the list: while they stay the watch may be resumed.
    epoch: Vec<Revision>,
    start: Revision,
    /// Everything up to here was seen, and nothing twice.
    position: Revision,
    objects: BTreeMap<ResourceKey, (Revision, Bytes)>,
    changes: Vec<(Revision, ResourceKey, ChangeKind)>,
}

/// Why a watcher left a watch.
enum Left {
    /// To go on where it was, by whatever process.
    ToResume,
    /// The mode changed sides.
    Expired,
}

impl Seen {
    fn new(epoch: Vec<Revision>, page: Page) -> Self {
        let objects = page.items.into_iter();
        Self {
            epoch,
            start: page.revision,
            position: page.revision,
            objects: objects
                .map(|item| (item.key, (item.revision, item.value)))
                .collect(),
            changes: Vec::new(),
        }
    }

    fn take(&mut self, event: WatchEvent) -> Result<(), String> {
        match event {
            WatchEvent::Change(change) => self.apply(&change),
            WatchEvent::Bookmark(revision) if revision < self.position => Err(format!(
                "a watch at {} got a bookmark of {revision}",
                self.position
            )),
            WatchEvent::Bookmark(revision) => {
                self.position = revision;
                Ok(())
            }
        }
    }

    /// Ordered, each once, and with nothing left out between what was known and what comes.
    fn apply(&mut self, change: &Change) -> Result<(), String> {
        let Change { object, previous } = change;
        if object.revision <= self.position && !self.is_of_the_same_write(object) {
            return Err(format!(
                "D18: a watch at {} got {object:?}, which is out of order or comes twice",
                self.position
            ));
        }
        let known = self.objects.get(&object.key);
        let told = previous.as_ref().map(|p| (p.revision, p.value.clone()));
        if known != told.as_ref() {
            return Err(format!(
                "D6: a watch knew {known:?} and got {object:?} after {told:?}"
            ));
        }
        let exists = known.is_some();
        let fits = match object.kind {
            ChangeKind::Created => !exists,
            ChangeKind::Updated | ChangeKind::Deleted => exists,
        };
        if !fits {
            return Err(format!("D6: a watch knew {known:?} and got {object:?}"));
        }
        match object.kind {
            ChangeKind::Created | ChangeKind::Updated => {
                let value = (object.revision, object.value.clone());
                self.objects.insert(object.key.clone(), value);
            }
            ChangeKind::Deleted => {
                self.objects.remove(&object.key);
            }
        }
        self.position = object.revision;
        self.changes
            .push((object.revision, object.key.clone(), object.kind));
        Ok(())
    }
}

impl Seen {
    /// Tells whether a change is of the transaction that was seen last, and of another object.
    fn is_of_the_same_write(&self, object: &Stored) -> bool {
        let changes = self.changes.iter().rev();
        let mut same = changes.take_while(|(revision, ..)| *revision == object.revision);
        let Some((_, first, _)) = same.next() else {
            return false;
        };
        *first != object.key && same.all(|(_, key, _)| *key != object.key)
    }
}

impl World {
    /// Lists and watches until all is quiet; each time by some process, from where it was.
    pub(crate) async fn watcher(self: Arc<Self>) -> Result<Option<Seen>, String> {
        let mut seen: Option<Seen> = None;
        while !self.quiet.load(Ordering::Relaxed) {
            let process = self.pick().await?;
            self.count();
            let mut at = match seen.take() {
                Some(at) => at,
                None => match self.list_for_watch(&process).await {
                    Some(at) => at,
                    None => continue,
                },
            };
            match self.follow(&process, &mut at).await? {
                Left::ToResume => seen = Some(at),
                Left::Expired => {}
            }
        }
        Ok(seen)
    }

    async fn list_for_watch(&self, process: &Process) -> Option<Seen> {
        let epoch = self.mode_records().await;
        let query = ListQuery::live(kind().scope());
        let page = timeout(LOOK * 10, process.dual.list(&query)).await;
        page.ok()?.ok().map(|page| Seen::new(epoch, page))
    }

    async fn follow(&self, process: &Process, seen: &mut Seen) -> Result<Left, String> {
        let query = WatchQuery::new(kind().scope(), seen.position).bookmarks(Duration::ZERO);
        let mut events = pin!(watch(Arc::clone(&process.dual) as _, query));
        loop {
            match timeout(LOOK, events.next()).await {
                Ok(Some(Ok(event))) => seen.take(event)?,
                Ok(Some(Err(error))) => return self.left(seen, &error).await,
                Ok(None) => return Ok(Left::ToResume),
                Err(_) => {
                    let over = process.life.is_over() || self.quiet.load(Ordering::Relaxed);
                    if over || self.chance.roll(8) == 0 {
                        return Ok(Left::ToResume);
                    }
                }
            }
        }
    }

    async fn left(&self, seen: &Seen, error: &Error) -> Result<Left, String> {
        match error.kind() {
            ErrorKind::Expired if self.mode_records().await != seen.epoch => Ok(Left::Expired),
            _ if error.is_retryable() => Ok(Left::ToResume),
            _ => Err(format!("a watch at {} ends with {error:?}", seen.position)),
        }
    }

    /// Returns what changes with every step of a change of mode.
    async fn mode_records(&self) -> Vec<Revision> {
        let query = ListQuery::live(Scope::resource(INTERNAL_GROUP, "dual.mode"));
        let mut revisions = Vec::new();
        for store in [&self.legacy, &self.unified] {
            let page = store.list(&query).await.expect("memory lists");
            revisions.extend(page.items.iter().map(|item| item.revision));
        }
        revisions
    }

    /// Resumes a watch when all is quiet: it comes to the present, and then knows what a list and
    /// the history show.
    pub(crate) async fn check_watch(
        &self,
        process: &Process,
        mut seen: Seen,
    ) -> Result<(), String> {
        let query = ListQuery::live(kind().scope());
        let page = process.dual.list(&query).await;
        let page = page.map_err(|error| format!("{error:?}"))?;
        let follow = self.follow_to(process, &mut seen, page.revision);
        let left = timeout(DELIVERY_BOUND, follow).await.map_err(|_| {
            let (at, end) = (seen.position, page.revision);
            format!("a watch stays at {at} while a list is at {end}")
        })??;
        match left {
            Left::Expired => Ok(()),
            Left::ToResume => self.compare(process, &seen, page).await,
        }
    }

    async fn follow_to(
        &self,
        process: &Process,
        seen: &mut Seen,
        end: Revision,
    ) -> Result<Left, String> {
        let query = WatchQuery::new(kind().scope(), seen.position).bookmarks(Duration::ZERO);
        let mut events = pin!(watch(Arc::clone(&process.dual) as _, query));
        // At least one answer, also at the end already: it may be that the watch is expired.
        let none = timeout(LOOK, events.next()).await;
        let mut first = none.ok();
        while first.is_some() || seen.position < end {
            let next = match first.take() {
                Some(next) => next,
                None => events.next().await,
            };
            match next {
                Some(Ok(event)) => seen.take(event)?,
                Some(Err(error)) => return self.left(seen, &error).await,
                None => return Err("a watch of an open store ends".into()),
            }
        }
        // The last transaction may have written several objects.
        while let Ok(Some(Ok(event @ WatchEvent::Change(_)))) = timeout(LOOK, events.next()).await {
            seen.take(event)?;
        }
        Ok(Left::ToResume)
    }

    async fn compare(&self, process: &Process, seen: &Seen, page: Page) -> Result<(), String> {
        let listed = page.items.into_iter();
        let listed: BTreeMap<_, _> = listed
            .map(|item| (item.key, (item.revision, item.value)))
            .collect();
        if seen.objects != listed {
            let watched = &seen.objects;
            return Err(format!("D6: a watch knows {watched:?}, a list {listed:?}"));
        }
        let query = ListQuery::history(kind().scope(), Order::Ascending);
        let history = process.dual.list(&query).await;
        let history = history.map_err(|error| format!("{error:?}"))?.items;
        let after = |item: &Stored| item.revision > seen.start && item.revision <= seen.position;
        let mut history: Vec<_> = history
            .into_iter()
            .filter(after)
            .map(|item| (item.revision, item.key, item.kind))
            .collect();
        history.sort_by_key(|(revision, ..)| *revision);
        if seen.changes != history {
            let watched = &seen.changes;
            return Err(format!(
                "D18: a watch got {watched:?}, the history has {history:?}"
            ));
        }
        Ok(())
    }
}
