use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};

use crate::limits::{WATCH_BUFFER_BYTES_MAX, WATCH_BUFFER_CHANGES_MAX};
use crate::{Change, ChangesQuery, Error, ErrorKind, Result, Revision, Scope, StorageBackend};

/// Asks for a stream of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchQuery {
    /// The keys to look at. The internal group has no changes.
    pub scope: Scope,
    /// The stream starts with the first change after this revision: that of a list, of the last
    /// bookmark, or of the last change whose transaction was seen whole.
    pub after: Revision,
    /// How long a bookmark that has something to say waits after the one before; no bookmarks when
    /// absent, one after each answer of the store when zero.
    pub bookmark_interval: Option<Duration>,
    /// About how many changes the stream holds; [`WATCH_BUFFER_CHANGES_MAX`] when absent or larger.
    pub buffer_changes: Option<usize>,
    /// About how many value bytes the stream holds; [`WATCH_BUFFER_BYTES_MAX`] when absent or
    /// larger.
    pub buffer_bytes: Option<usize>,
}

impl WatchQuery {
    /// Asks for the changes after a revision, without bookmarks.
    #[must_use]
    pub const fn new(scope: Scope, after: Revision) -> Self {
        Self {
            scope,
            after,
            bookmark_interval: None,
            buffer_changes: None,
            buffer_bytes: None,
        }
    }

    /// Asks for bookmarks.
    #[must_use]
    pub const fn bookmarks(mut self, interval: Duration) -> Self {
        self.bookmark_interval = Some(interval);
        self
    }

    /// Limits what the stream holds.
    #[must_use]
    pub const fn buffer(mut self, changes: usize, bytes: usize) -> Self {
        self.buffer_changes = Some(changes);
        self.buffer_bytes = Some(bytes);
        self
    }

    fn changes_after(&self, after: Revision) -> ChangesQuery {
        let changes = self.buffer_changes.unwrap_or(WATCH_BUFFER_CHANGES_MAX);
        let bytes = self.buffer_bytes.unwrap_or(WATCH_BUFFER_BYTES_MAX);
        ChangesQuery {
            scope: self.scope.clone(),
            after,
            limit: Some(changes.min(WATCH_BUFFER_CHANGES_MAX)),
            limit_bytes: Some(bytes.min(WATCH_BUFFER_BYTES_MAX)),
        }
    }
}

/// One item of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// An object changed.
    Change(Arc<Change>),
    /// Everything up to this revision was delivered. A watch after it misses nothing and repeats
    /// nothing.
    Bookmark(Revision),
}

/// Follows a backend's changes: written once, on `changes` and `head`, for every backend.
///
/// # Behaviour
/// * Ordered and each once: changes come by revision, then in the order of the transaction's
///   writes, from the first one after [`WatchQuery::after`], with no gap.
/// * Atomic: a bookmark never falls between two changes of one transaction.
/// * Resumable: at any revision that the store still keeps, from another process too.
/// * Bookmarks rise strictly. They advance while the scope is idle, when only other objects
///   change, and are not sent when nothing changed anywhere.
/// * A change is delivered when `head` moves; nothing is polled.
/// * Pull: the stream holds at most one answer of `changes`, within the query's buffer limits and
///   one transaction. What a slow reader has not asked for stays in the store, so it costs neither
///   memory nor a writer's time, until the store drops it and the stream ends with `Expired`.
/// * An error is the last item. After `Unavailable` or `Overloaded` the caller may watch again
///   from where it was; after `Expired` it must list first.
/// * Ends without an error when the backend is closed: when the sender of its head is gone.
///
/// # Errors
/// As [`StorageBackend::changes`], as an item: `Invalid`, `FutureRevision`, `Expired`, ….
/// `Internal` if the backend does not deliver what its head promises.
pub fn watch(
    backend: Arc<dyn StorageBackend>,
    query: WatchQuery,
) -> impl Stream<Item = Result<WatchEvent>> + Send + 'static {
    // A fused stream may be polled after its end, which `select!` loops do.
    stream::unfold(Follower::new(backend, query), Follower::step).fuse()
}

/// A place in the order of changes, and what was fetched after it but not delivered yet.
struct Follower {
    backend: Arc<dyn StorageBackend>,
    head: Receiver<Revision>,
    query: WatchQuery,
    fetched: std::vec::IntoIter<Arc<Change>>,
    /// Where the next answer starts: everything up to here is fetched.
    position: Revision,
    bookmarked: Revision,
    bookmark_at: Option<Instant>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The store was not asked yet, so a query that it refuses would go unnoticed.
    New,
    Following,
    Failed,
}

enum Wake {
    Head,
    Bookmark,
    Closed,
}

impl Follower {
    fn new(backend: Arc<dyn StorageBackend>, query: WatchQuery) -> Self {
        Self {
            head: backend.head(),
            backend,
            fetched: Vec::new().into_iter(),
            position: query.after,
            bookmarked: query.after,
            bookmark_at: query.bookmark_interval.map(|i| Instant::now() + i),
            query,
            state: State::New,
        }
    }

    async fn step(mut self) -> Option<(Result<WatchEvent>, Self)> {
        if self.state == State::Failed {
            return None;
        }
        match self.next().await {
            Ok(Some(event)) => Some((Ok(event), self)),
            Ok(None) => None,
            Err(error) => {
                self.state = State::Failed;
                Some((Err(error), self))
            }
        }
    }

    async fn next(&mut self) -> Result<Option<WatchEvent>> {
        loop {
            if let Some(change) = self.fetched.next() {
                return Ok(Some(WatchEvent::Change(change)));
            }
            if let Some(bookmark) = self.due_bookmark() {
                return Ok(Some(bookmark));
            }
            let head = *self.head.borrow_and_update();
            if self.state == State::New || head > self.position {
                self.fetch(head).await?;
                continue;
            }
            match self.wait().await {
                Wake::Head | Wake::Bookmark => {}
                Wake::Closed => return Ok(None),
            }
        }
    }

    async fn fetch(&mut self, head: Revision) -> Result<()> {
        let query = self.query.changes_after(self.position);
        let answer = self.backend.changes(&query).await?;
        // Without this check such a backend would be asked again and again, for ever.
        if answer.changes.is_empty() && answer.through < head {
            let context = format!(
                "no changes up to {} where the head is {head}",
                answer.through
            );
            return Err(Error::new(ErrorKind::Internal, "watch", context));
        }
        self.state = State::Following;
        self.position = answer.through;
        self.fetched = answer.changes.into_iter();
        Ok(())
    }

    /// Returns the bookmark of the position, if it is time. Everything fetched is delivered.
    fn due_bookmark(&mut self) -> Option<WatchEvent> {
        let interval = self.query.bookmark_interval?;
        let now = Instant::now();
        if self.position == self.bookmarked || self.bookmark_at.is_some_and(|at| at > now) {
            return None;
        }
        self.bookmarked = self.position;
        self.bookmark_at = Some(now + interval);
        Some(WatchEvent::Bookmark(self.position))
    }

    async fn wait(&mut self) -> Wake {
        // Nothing to say, so no timer: an idle watch costs no wake-ups.
        let bookmark_at = self.bookmark_at.filter(|_| self.position > self.bookmarked);
        let changed = self.head.changed();
        let moved = match bookmark_at {
            None => changed.await,
            Some(at) => tokio::select! {
                biased;
                moved = changed => moved,
                () = sleep_until(at) => return Wake::Bookmark,
            },
        };
        match moved {
            Ok(()) => Wake::Head,
            Err(_) => Wake::Closed,
        }
    }
}
