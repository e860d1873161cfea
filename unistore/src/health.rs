//! Whether the store answers, for `/readyz`.

use std::sync::Arc;
use std::time::Duration;

use apiserver::HealthCheck;
use storage_core::{ResourceKey, StorageBackend};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the store is asked.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// How long it may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// The last answer of the store to a probe.
#[derive(Debug)]
pub(crate) struct StoreHealth(watch::Receiver<Result<(), String>>);

/// Asks the store now and then.
#[derive(Debug)]
pub(crate) struct StoreProbe {
    store: Arc<dyn StorageBackend>,
    key: ResourceKey,
    answer: watch::Sender<Result<(), String>>,
}

impl StoreProbe {
    /// Returns the probe and what shows its answer.
    pub(crate) fn new(store: Arc<dyn StorageBackend>) -> storage_core::Result<(Self, StoreHealth)> {
        let (answer, shown) = watch::channel(Ok(()));
        let key = ResourceKey::internal("probes", "", "store")?;
        Ok((Self { store, key, answer }, StoreHealth(shown)))
    }

    /// Probes until `shutdown` is cancelled.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(PROBE_INTERVAL);
        let work = async {
            loop {
                ticks.tick().await;
                let answer = self.probe().await;
                self.answer.send_if_modified(|last| {
                    let changed = *last != answer;
                    if changed {
                        tracing::warn!(?answer, "the store's health changed");
                        *last = answer;
                    }
                    changed
                });
            }
        };
        shutdown.run_until_cancelled(work).await;
    }

    async fn probe(&self) -> Result<(), String> {
        match tokio::time::timeout(PROBE_TIMEOUT, self.store.get(&self.key, None)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", PROBE_TIMEOUT.as_secs())),
        }
    }
}

impl HealthCheck for StoreHealth {
    fn name(&self) -> &str {
        "store"
    }

    fn check(&self) -> Result<(), String> {
        self.0.borrow().clone()
    }
}
