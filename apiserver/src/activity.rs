use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// What a connection is doing, so that one that does nothing can be closed.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    requests: usize,
    /// When the connection began, or its newest request ended.
    since: Instant,
    /// How long it may do nothing.
    patience: Duration,
    idle: Duration,
}

/// A request that is being answered; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Mutex<State>>);

impl Activity {
    /// A connection that has `first` to send its first request and `idle` for each later one.
    pub(crate) fn new(first: Duration, idle: Duration) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                requests: 0,
                since: Instant::now(),
                patience: first,
                idle,
            })),
        }
    }

    pub(crate) fn begin(&self) -> Busy {
        let mut state = self.state.lock();
        state.requests += 1;
        state.patience = state.idle;
        Busy(Arc::clone(&self.state))
    }

    /// Returns the time at which the connection has done nothing for too long.
    pub(crate) fn deadline(&self) -> Instant {
        let state = self.state.lock();
        let since = if state.requests > 0 {
            Instant::now()
        } else {
            state.since
        };
        since + state.patience
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.requests -= 1;
        state.since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn patience_starts_over_with_each_request() {
        let (first, idle) = (Duration::from_secs(1), Duration::from_secs(10));
        let start = Instant::now();
        let activity = Activity::new(first, idle);
        assert_eq!(activity.deadline(), start + first);
        let busy = activity.begin();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(activity.deadline(), Instant::now() + idle);
        drop(busy);
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(activity.deadline(), start + Duration::from_secs(70));
    }
}
