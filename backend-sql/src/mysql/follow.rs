use std::time::Duration;

use storage_core::Revision;
use tokio::time::sleep;

use crate::SqlOptions;
use crate::server::{Driver, Head};

/// The time between two looks while things happen.
const POLL_INTERVAL_MIN: Duration = Duration::from_millis(3);

/// Follows the newest revision by asking for it. After news it is asked again soon; without, each
/// wait is half as long again as the one before.
pub(super) async fn follow<D: Driver>(driver: &D, head: &Head, options: &SqlOptions) {
    let mut interval = POLL_INTERVAL_MIN;
    let mut seen = Revision::ZERO;
    loop {
        sleep(interval).await;
        // Commits of this process are news too: where there is one there may be others.
        let is_news = match head.poll(driver).await {
            Ok(newest) => newest > std::mem::replace(&mut seen, newest),
            Err(failure) => {
                let error = failure.into_error();
                tracing::debug!(%error, "the newest revision cannot be read");
                false
            }
        };
        interval = next_interval(interval, is_news, options.poll_interval_max);
    }
}

fn next_interval(interval: Duration, is_news: bool, max: Duration) -> Duration {
    if is_news {
        POLL_INTERVAL_MIN
    } else {
        (interval + interval / 2).min(max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_polls_become_rare_and_news_makes_them_frequent() {
        let max = Duration::from_secs(1);
        let mut interval = POLL_INTERVAL_MIN;
        let mut polls = 0;
        while interval < max {
            interval = next_interval(interval, false, max);
            polls += 1;
        }
        assert!(polls < 20, "{polls} polls until it is idle");
        assert_eq!(next_interval(interval, false, max), max);
        assert_eq!(next_interval(interval, true, max), POLL_INTERVAL_MIN);
    }
}
