use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::OptionFuture;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use storage_core::{
    Change, ChangeKind, ErrorKind, Revision, Scope, WatchEvent as StoreEvent, WatchQuery,
};
use tokio::time::{Instant, sleep_until};

use super::list_parameters::{At, InitialEnd, Start};
use super::scan::{PageLimit, Scan};
use super::{ListParameters, Objects, shown};
use crate::kind::Kind;
use crate::limits::{SCAN_PAGE_ITEMS_MAX, WATCH_PAGE_BYTES_MAX};
use crate::selector::{Records, Selection};
use crate::{Collection, Failure, Object, Reason, Result};

/// One event of a watch.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchEvent {
    /// An object exists, or matches the selectors now.
    Added(Object),
    /// An object changed.
    Modified(Object),
    /// An object is gone, or does not match the selectors any more: its state before, with the
    /// version of the change.
    Deleted(Object),
    /// Everything up to a version was sent.
    Bookmark(Bookmark),
    /// The watch cannot go on. The last event.
    Error(Failure),
}

impl WatchEvent {
    /// Returns the word on the wire.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Added(_) => "ADDED",
            Self::Modified(_) => "MODIFIED",
            Self::Deleted(_) => "DELETED",
            Self::Bookmark(_) => "BOOKMARK",
            Self::Error(_) => "ERROR",
        }
    }
}

/// Says that everything up to a version was sent: a watch after it misses nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Bookmark {
    /// The kind of the watched objects.
    pub kind: Arc<Kind>,
    /// The version.
    pub revision: Revision,
    /// Whether the objects that existed at the start of the watch end here.
    pub initial_events_end: bool,
}

impl Bookmark {
    /// Appends it as an object of the watched kind.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        self.write(self.kind.head(), out);
    }

    /// Appends it as a `PartialObjectMetadata`.
    pub fn write_partial_metadata(&self, out: &mut Vec<u8>) {
        self.write(crate::object::PARTIAL_HEAD, out);
    }

    fn write(&self, head: &str, out: &mut Vec<u8>) {
        out.extend(head.bytes());
        let revision = self.revision;
        out.extend(
            format!("\"resourceVersion\":\"{revision}\",\"creationTimestamp\":null").bytes(),
        );
        if self.initial_events_end {
            out.extend(b",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}");
        }
        out.extend(b"}}");
    }
}

/// A stream of [`WatchEvent`]s. Dropping it ends it; a slow reader costs nobody anything.
pub struct Watch {
    events: BoxStream<'static, WatchEvent>,
    kind: Arc<Kind>,
    progress: Arc<Progress>,
}

/// What a watch could say in a bookmark.
#[derive(Debug, Default)]
struct Progress {
    /// Everything up to here was sent; zero if that was said already.
    owed: AtomicU64,
}

impl Progress {
    fn owes(&self, revision: Option<Revision>) {
        let number = revision.map_or(0, Revision::get);
        self.owed.store(number, Ordering::SeqCst);
    }

    fn owed(&self) -> Option<Revision> {
        let number = self.owed.load(Ordering::SeqCst);
        (number > 0).then(|| Revision::new(number))
    }
}

impl Watch {
    /// Returns the bookmark to send before the watch is ended; none if bookmarks were not asked
    /// for or there is nothing to say.
    #[must_use]
    pub fn closing_bookmark(&self) -> Option<WatchEvent> {
        Some(WatchEvent::Bookmark(Bookmark {
            kind: Arc::clone(&self.kind),
            revision: self.progress.owed()?,
            initial_events_end: false,
        }))
    }
}

impl Stream for Watch {
    type Item = WatchEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<WatchEvent>> {
        self.events.as_mut().poll_next(context)
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Watch({:?})", self.kind)
    }
}

impl Objects {
    /// Watches a collection.
    ///
    /// Without a version, or at `0`, the objects that exist are sent as added, then every change;
    /// after a version, every change since, in order. With `sendInitialEvents` a bookmark tells the
    /// two apart. An object that starts to match the selectors is added, one that stops is deleted.
    ///
    /// # Errors
    /// As [`Objects::list`]. What goes wrong later, an expired version among it, is an
    /// [`WatchEvent::Error`].
    pub async fn watch(
        &self,
        collection: &Collection,
        parameters: &ListParameters,
    ) -> Result<Watch> {
        let start = parameters.watch_start()?;
        let (labels, fields) = (&*parameters.label_selector, &*parameters.field_selector);
        let (selection, records) = Selection::parse(collection.kind(), labels, fields)?;
        if records != Records::Live {
            return Err(Failure::bad_request("history and trash cannot be watched"));
        }
        let at = Scan::new(
            collection,
            selection.clone(),
            &records,
            At::Newest,
            self.head(),
        )?;
        let progress = Arc::new(Progress::default());
        let mut feed = Feed {
            objects: self.clone(),
            kind: Arc::clone(collection.kind()),
            scope: at.query.scope.clone(),
            selection,
            phase: Phase::Ended,
            ready: VecDeque::new(),
            sent: Revision::ZERO,
            bookmark_interval: None,
            bookmark_at: Instant::now(),
            progress: Arc::clone(&progress),
        };
        if parameters.allow_watch_bookmarks {
            feed.ask_for_bookmarks()?;
        }
        match start {
            Start::Initial {
                not_older_than,
                end,
            } => {
                self.reach(not_older_than).await?;
                feed.phase = Phase::Initial {
                    scan: Box::new(at),
                    end,
                };
                // Now, so that what is wrong is an answer and not an event.
                feed.read_page().await?;
            }
            Start::After(after) => {
                let after = after.unwrap_or(self.head());
                self.reach(after).await?;
                feed.follow(after);
            }
        }
        Ok(Watch {
            events: stream::unfold(feed, Feed::step).boxed(),
            kind: Arc::clone(collection.kind()),
            progress,
        })
    }
}

/// Where a watch is, and what it will send next.
struct Feed {
    objects: Objects,
    kind: Arc<Kind>,
    scope: Scope,
    selection: Selection,
    phase: Phase,
    ready: VecDeque<WatchEvent>,
    /// The version of the last event.
    sent: Revision,
    bookmark_interval: Option<Duration>,
    bookmark_at: Instant,
    progress: Arc<Progress>,
}

enum Phase {
    /// Reading what exists, a page at a time.
    Initial {
        scan: Box<Scan>,
        end: InitialEnd,
    },
    /// Reading what changes.
    Following {
        after: Revision,
        changes: BoxStream<'static, storage_core::Result<StoreEvent>>,
    },
    Ended,
}

impl Feed {
    /// Sets the interval, a little different for each watch: they would all write at once.
    fn ask_for_bookmarks(&mut self) -> Result<()> {
        let mut byte = [0];
        self.objects.random().fill(&mut byte)?;
        let interval = self.objects.0.options.bookmark_interval;
        let jitter = interval.mul_f64(f64::from(byte[0]) / 1024.0);
        let interval = interval + jitter;
        self.bookmark_interval = Some(interval);
        self.bookmark_at = Instant::now() + interval;
        Ok(())
    }

    async fn step(mut self) -> Option<(WatchEvent, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((event, self));
            }
            let more = match self.phase {
                Phase::Initial { .. } => self.read_page().await,
                Phase::Following { .. } => self.read_change().await,
                Phase::Ended => return None,
            };
            if let Err(failure) = more {
                self.phase = Phase::Ended;
                self.progress.owes(None);
                self.ready.push_back(WatchEvent::Error(failure));
            }
        }
    }

    /// Reads the next page of what exists; after the last one the changes follow.
    async fn read_page(&mut self) -> Result<()> {
        let Phase::Initial { scan, end } = &mut self.phase else {
            return Ok(());
        };
        scan.limit = Some(PageLimit {
            items: SCAN_PAGE_ITEMS_MAX,
            bytes: WATCH_PAGE_BYTES_MAX,
        });
        let found = scan.run(&**self.objects.backend()).await?;
        self.ready
            .extend(found.items.into_iter().map(WatchEvent::Added));
        if let Some(cursor) = found.next {
            scan.query = scan.query.clone().after(cursor);
            return Ok(());
        }
        if *end == InitialEnd::Marked {
            self.ready.push_back(WatchEvent::Bookmark(Bookmark {
                kind: Arc::clone(&self.kind),
                revision: found.revision,
                initial_events_end: true,
            }));
        }
        self.follow(found.revision);
        Ok(())
    }

    fn follow(&mut self, after: Revision) {
        let mut query = WatchQuery::new(self.scope.clone(), after);
        if self.bookmark_interval.is_some() {
            // Each answer of the store says how far it went; when to tell is decided here.
            query = query.bookmarks(Duration::ZERO);
        }
        let backend = Arc::clone(self.objects.backend());
        let changes = storage_core::watch(backend, query).boxed();
        self.sent = after;
        self.phase = Phase::Following { after, changes };
    }

    /// Waits for the next change, or until a bookmark is due.
    async fn read_change(&mut self) -> Result<()> {
        let Phase::Following { after, changes } = &mut self.phase else {
            return Ok(());
        };
        let owed = self.progress.owed();
        let due: OptionFuture<_> = owed.map(|_| sleep_until(self.bookmark_at)).into();
        let item = tokio::select! {
            biased;
            Some(()) = due => None,
            item = changes.next() => Some(item),
        };
        match item {
            None => self.send_bookmark(),
            Some(None) => self.phase = Phase::Ended,
            Some(Some(Err(error))) if error.kind() == ErrorKind::Expired => {
                return Err(too_old(*after, self.objects.head()));
            }
            Some(Some(Err(error))) => return Err(error.into()),
            Some(Some(Ok(StoreEvent::Bookmark(revision)))) => {
                if revision > self.sent {
                    self.progress.owes(Some(revision));
                }
            }
            Some(Some(Ok(StoreEvent::Change(change)))) => {
                if let Some(event) = self.event(&change)? {
                    self.sent = change.object.revision;
                    self.progress.owes(None);
                    self.ready.push_back(event);
                }
            }
        }
        Ok(())
    }

    fn send_bookmark(&mut self) {
        let Some(revision) = self.progress.owed() else {
            return;
        };
        self.progress.owes(None);
        self.sent = revision;
        if let Some(interval) = self.bookmark_interval {
            self.bookmark_at = Instant::now() + interval;
        }
        self.ready.push_back(WatchEvent::Bookmark(Bookmark {
            kind: Arc::clone(&self.kind),
            revision,
            initial_events_end: false,
        }));
    }

    /// Returns what a change means to who sees only what matches.
    fn event(&self, change: &Change) -> Result<Option<WatchEvent>> {
        let revision = change.object.revision;
        let before = match &change.previous {
            None => None,
            Some(previous) => self.matching(Object::from_value(
                Arc::clone(&self.kind),
                change.object.key.clone(),
                // What was stored then is told with the version of the change.
                revision,
                previous.value.clone(),
            )?)?,
        };
        let after = match change.object.kind {
            ChangeKind::Deleted => None,
            ChangeKind::Created | ChangeKind::Updated => {
                self.matching(shown(&self.kind, change.object.clone())?)?
            }
        };
        Ok(match (before, after) {
            (None, None) => None,
            (None, Some(now)) => Some(WatchEvent::Added(now)),
            (Some(_), Some(now)) => Some(WatchEvent::Modified(now)),
            (Some(before), None) => Some(WatchEvent::Deleted(before)),
        })
    }

    fn matching(&self, object: Object) -> Result<Option<Object>> {
        Ok(self.selection.matches(&object)?.then_some(object))
    }
}

fn too_old(after: Revision, head: Revision) -> Failure {
    let message = format!("too old resource version: {after} ({head})");
    Failure::new(Reason::Expired, message)
}
