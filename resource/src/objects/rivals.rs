use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::limits::{CONFLICT_PATIENCE, CONFLICT_PAUSE_MAX};

/// Attempts that are lost without a pause: most writers have one rival at most.
const AT_ONCE: u32 = 2;

/// The other writers of an object, as a write sees them that has no precondition of its own.
pub(super) struct Rivals {
    until: Instant,
    lost: u32,
}

impl Rivals {
    pub(super) fn new() -> Self {
        Self {
            until: Instant::now() + CONFLICT_PATIENCE,
            lost: 0,
        }
    }

    /// Counts an attempt in which a rival was faster. Waits for a while that grows and is never the same
    /// for all; false when it is time to give up.
    pub(super) async fn may_try_again(&mut self) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        self.lost += 1;
        if let Some(paused) = self.lost.checked_sub(AT_ONCE) {
            let longest = Duration::from_millis(1 << paused.min(6)).min(CONFLICT_PAUSE_MAX);
            // Without randomness from the system all wait equally long, which is slower and no worse.
            let part = getrandom::u32().unwrap_or(u32::MAX);
            sleep(longest.mul_f64(f64::from(part) / f64::from(u32::MAX))).await;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_never_wins_gives_up_in_time() {
        let began = Instant::now();
        let mut rivals = Rivals::new();
        while rivals.may_try_again().await {}
        let took = began.elapsed();
        assert!(took >= CONFLICT_PATIENCE, "{took:?}");
        assert!(took <= CONFLICT_PATIENCE + CONFLICT_PAUSE_MAX, "{took:?}");
        assert!(rivals.lost > 500, "{} attempts", rivals.lost);
    }
}
