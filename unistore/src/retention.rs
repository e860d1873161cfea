//! Keeps a store tidy: drops, in small steps beside the traffic, what a policy does not keep.

use std::sync::Arc;
use std::time::Duration;

use storage_core::{Compacted, Result, Retention, StorageBackend};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;

/// Most steps of one round; what is left waits for the next round.
pub const STEPS_PER_ROUND_MAX: usize = 1_000;

/// Applies a policy now and then until `shutdown` is cancelled. Failures are logged, and the next
/// round tries again.
pub async fn run(
    store: Arc<dyn StorageBackend>,
    policy: Retention,
    every: Duration,
    shutdown: CancellationToken,
) {
    let mut rounds = interval_at(Instant::now() + every, every);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let work = async {
        loop {
            rounds.tick().await;
            match tidy(&store, &policy).await {
                Ok(done) => count(&done),
                Err(error) => tracing::warn!(?error, "the past could not be tidied"),
            }
        }
    };
    // Dropping it between two steps loses nothing: each step is a commit of its own.
    shutdown.run_until_cancelled(work).await;
}

/// Applies a policy until nothing is left to drop or the round is long enough, and sums up.
///
/// # Errors
/// As [`StorageBackend::compact`].
pub async fn tidy(store: &dyn StorageBackend, policy: &Retention) -> Result<Compacted> {
    let mut sum = Compacted::default();
    for _ in 0..STEPS_PER_ROUND_MAX {
        let start = Instant::now();
        let step = store.compact(policy).await?;
        sum.horizon = step.horizon;
        sum.changes += step.changes;
        sum.history += step.history;
        sum.trash += step.trash;
        sum.more = step.more;
        if !step.more {
            break;
        }
        // Writers get at least every second turn.
        sleep(start.elapsed()).await;
    }
    Ok(sum)
}

fn count(done: &Compacted) {
    for (what, removed) in [
        ("changes", done.changes),
        ("history", done.history),
        ("trash", done.trash),
    ] {
        metrics::counter!("unistore_retention_removed_total", "what" => what).increment(removed);
    }
    if done.changes + done.history + done.trash > 0 {
        tracing::debug!(?done, "tidied the past");
    }
}
