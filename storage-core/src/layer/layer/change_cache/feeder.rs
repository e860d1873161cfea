use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::FutureExt;
use parking_lot::RwLock;
use tokio::sync::watch;

use super::window::Window;
use crate::layer::observe::name;
use crate::{Changes, ChangesQuery, Error, ErrorKind, Result, Revision, Scope, StorageBackend};

/// Waits before the first new attempt, and twice as long before each one after.
const RETRY_MIN: Duration = Duration::from_millis(20);
/// Never waits longer than this.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// How far the window reaches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Feed {
    pub(super) end: Revision,
    /// Whether it will soon reach the head. If not, nobody should wait for it.
    pub(super) following: bool,
}

/// Follows the inner backend and fills the window.
pub(super) struct Feeder<B> {
    /// Weak, so that an idle feeder keeps no store open.
    inner: Weak<B>,
    head: watch::Receiver<Revision>,
    window: Arc<RwLock<Window>>,
    feed: watch::Sender<Feed>,
    retry: Duration,
}

/// The backend is gone.
struct Closed;

impl<B: StorageBackend> Feeder<B> {
    pub(super) fn new(
        inner: &Arc<B>,
        head: watch::Receiver<Revision>,
        window: Arc<RwLock<Window>>,
    ) -> (Self, watch::Receiver<Feed>) {
        let end = window.read().end();
        let following = true;
        let (feed, receiver) = watch::channel(Feed { end, following });
        let feeder = Self {
            inner: Arc::downgrade(inner),
            head,
            window,
            feed,
            retry: RETRY_MIN,
        };
        (feeder, receiver)
    }

    pub(super) async fn run(mut self) {
        while self.step().await.is_ok() {}
        self.publish(false);
    }

    async fn step(&mut self) -> Result<(), Closed> {
        let head = *self.head.borrow_and_update();
        let end = self.window.read().end();
        if head <= end {
            return self.head.changed().await.map_err(|_| Closed);
        }
        match self.fetch(end).await? {
            Ok(answer) if answer.through > end => {
                // Cut by a limit: it may take long to reach the head.
                let following = answer.through >= head;
                self.window.write().extend(answer);
                self.retry = RETRY_MIN;
                self.publish(following);
            }
            Ok(_) => {
                let error = Error::new(ErrorKind::Internal, "changes", "no changes up to the head");
                self.pause(&error).await;
            }
            Err(error) if error.kind() == ErrorKind::Expired => {
                self.window.write().restart(head);
                self.publish(true);
            }
            Err(error) => self.pause(&error).await,
        }
        Ok(())
    }

    async fn fetch(&self, after: Revision) -> Result<Result<Changes>, Closed> {
        let inner = self.inner.upgrade().ok_or(Closed)?;
        let query = ChangesQuery::new(Scope::All, after);
        let answer = AssertUnwindSafe(async { inner.changes(&query).await });
        Ok(answer.catch_unwind().await.unwrap_or_else(|_| {
            let context = "the store panicked";
            Err(Error::new(ErrorKind::Internal, "changes", context))
        }))
    }

    async fn pause(&mut self, error: &Error) {
        tracing::warn!(%error, "the change cache cannot follow the store");
        self.publish(false);
        tokio::time::sleep(self.retry).await;
        self.retry = (self.retry * 2).min(RETRY_MAX);
    }

    fn publish(&self, following: bool) {
        let (end, changes, bytes) = {
            let window = self.window.read();
            (window.end(), window.len(), window.bytes())
        };
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        {
            metrics::gauge!(name::CACHED_CHANGES).set(changes as f64);
            metrics::gauge!(name::CACHED_BYTES).set(bytes as f64);
        }
        self.feed.send_replace(Feed { end, following });
    }
}
