//! Whether the stores answer, for `/readyz`.

use std::sync::Arc;
use std::time::Duration;

use apiserver::HealthCheck;
use dualwriter::{DualWriter, Side};
use storage_core::{ResourceKey, StorageBackend};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the store is asked.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// How long it may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// The last answer of the store to a probe.
#[derive(Debug)]
pub(crate) struct StoreHealth {
    name: &'static str,
    answer: watch::Receiver<Result<(), String>>,
    /// Whether the server can do without the store now.
    need: Need,
}

/// Whether a store must answer for the server to be ready.
#[derive(Clone, Debug)]
pub(crate) enum Need {
    /// It is the only one.
    Always,
    /// It is one of two, and the modes of kinds decide.
    ByMode(Arc<DualWriter>, Side),
}

impl Need {
    fn is_there(&self) -> bool {
        match self {
            Self::Always => true,
            Self::ByMode(dual_writer, side) => dual_writer.relies_on(*side),
        }
    }
}

/// Asks the store now and then.
#[derive(Debug)]
pub(crate) struct StoreProbe {
    name: &'static str,
    store: Arc<dyn StorageBackend>,
    key: ResourceKey,
    answer: watch::Sender<Result<(), String>>,
}

impl StoreProbe {
    /// Returns the probe and what shows its answer, under a name.
    pub(crate) fn new(
        name: &'static str,
        store: Arc<dyn StorageBackend>,
        need: Need,
    ) -> storage_core::Result<(Self, StoreHealth)> {
        let (answer, shown) = watch::channel(Ok(()));
        let key = ResourceKey::internal("probes", "", "store")?;
        let health = StoreHealth {
            name,
            answer: shown,
            need,
        };
        let probe = Self {
            name,
            store,
            key,
            answer,
        };
        Ok((probe, health))
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
                        tracing::warn!(store = self.name, ?answer, "the store's health changed");
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
        self.name
    }

    fn check(&self) -> Result<(), String> {
        let answer = self.answer.borrow().clone();
        if self.need.is_there() { answer } else { Ok(()) }
    }
}
