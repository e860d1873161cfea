use std::time::Duration;

use storage_core::{Error, Result};
use tokio::time::{Instant, sleep};

use crate::store::failure::Failure;

/// The first wait before something is tried again.
const WAIT_MIN: Duration = Duration::from_millis(5);

/// The longest wait before something is tried again.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// Waits between attempts: longer each time, for a different time in each process, and not for
/// ever.
#[derive(Debug)]
pub(crate) struct Backoff {
    wait: Duration,
    deadline: Instant,
    seed: u64,
}

impl Backoff {
    /// Attempts end after `timeout`. The seed makes the waits of processes differ.
    pub(crate) fn new(timeout: Duration, seed: u64) -> Self {
        Self {
            wait: WAIT_MIN,
            deadline: Instant::now() + timeout,
            seed,
        }
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// That of the last attempt, if another one cannot help or there is no time for it.
    pub(crate) async fn wait_after(&mut self, failure: Failure) -> Result<()> {
        let (reason, error) = match failure {
            Failure::Contention(error) => ("contention", error),
            Failure::Lost(error) => ("connection", error),
            Failure::Refused(error) => return Err(error),
        };
        metrics::counter!("unistore_sql_retries_total", "reason" => reason).increment(1);
        tracing::debug!(%error, reason, "trying again");
        self.wait(error).await
    }

    /// Waits, or returns the error when there is no time left.
    pub(crate) async fn wait(&mut self, error: Error) -> Result<()> {
        let wait = self.jittered();
        if Instant::now() + wait >= self.deadline {
            return Err(error);
        }
        sleep(wait).await;
        self.wait = (self.wait * 2).min(WAIT_MAX);
        Ok(())
    }

    /// Returns between half and all of the wait.
    fn jittered(&mut self) -> Duration {
        self.seed = scramble(self.seed);
        let half = self.wait / 2;
        let share = u32::try_from(self.seed % 1024).unwrap_or_default();
        half + half * share / 1024
    }
}

/// A step of SplitMix64: waits need to differ, not to be unpredictable.
const fn scramble(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use storage_core::ErrorKind;

    use super::*;

    fn error() -> Error {
        Error::new(ErrorKind::Unavailable, "test", "down")
    }

    #[tokio::test(start_paused = true)]
    async fn waits_grow_and_end() {
        let mut backoff = Backoff::new(Duration::from_secs(3), 1);
        let start = Instant::now();
        let mut attempts = 0;
        while backoff.wait_after(Failure::Lost(error())).await.is_ok() {
            attempts += 1;
        }
        assert!(start.elapsed() <= Duration::from_secs(3));
        assert!((8..40).contains(&attempts), "{attempts} attempts");
    }

    #[tokio::test]
    async fn what_is_refused_is_not_tried_again() {
        let mut backoff = Backoff::new(Duration::from_secs(3), 1);
        assert!(backoff.wait_after(Failure::Refused(error())).await.is_err());
    }

    #[test]
    fn waits_of_two_processes_differ() {
        let waits = |seed| {
            let mut backoff = Backoff::new(Duration::from_secs(1), seed);
            [(); 4].map(|()| backoff.jittered())
        };
        assert_ne!(waits(1), waits(2));
        assert!(
            waits(1)
                .iter()
                .all(|w| *w >= WAIT_MIN / 2 && *w <= WAIT_MIN)
        );
    }
}
