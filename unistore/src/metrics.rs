//! What `/metrics` answers.

use std::time::Duration;

use anyhow::{Context, Result};
use apiserver::MetricsRenderer;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use unistore::registry;

/// Upper bounds of the histograms of durations, in seconds: a commit takes a millisecond or two, a
/// watch's request may take minutes.
const DURATION_BUCKETS_S: [f64; 15] = [
    0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0,
];

/// The same for syncs, which take from milliseconds to hours.
const SYNC_BUCKETS_S: [f64; 9] = [0.01, 0.1, 1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0];

/// How often histograms are folded up when nobody reads them.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The metrics of this process.
pub(crate) struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Starts counting. Once per process.
    pub(crate) fn start() -> Result<Self> {
        let handle = PrometheusBuilder::new()
            .set_buckets(&DURATION_BUCKETS_S)
            .context("buckets of histograms")?
            .set_buckets_for_metric(
                Matcher::Full(dualwriter::observe::SYNC_DURATION.to_owned()),
                &SYNC_BUCKETS_S,
            )
            .context("buckets of syncs")?
            .install_recorder()
            .context("cannot start counting")?;
        apiserver::describe_metrics();
        storage_core::layer::observe::describe();
        dualwriter::observe::describe();
        metrics::describe_gauge!("unistore_build_info", "What this binary is; always 1");
        metrics::describe_counter!(
            "unistore_retention_removed_total",
            "Records of the past that retention removed"
        );
        let engines: Vec<_> = registry::engines()
            .iter()
            .map(|engine| engine.scheme)
            .collect();
        let labels = [
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("engines", engines.join(",")),
        ];
        metrics::gauge!("unistore_build_info", &labels).set(1.0);
        Ok(Self { handle })
    }

    /// Returns what writes the metrics as text.
    pub(crate) fn renderer(&self) -> MetricsRenderer {
        let handle = self.handle.clone();
        Arc::new(move || handle.render())
    }

    /// Keeps memory bounded until `shutdown` is cancelled.
    pub(crate) async fn upkeep(self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
        let work = async {
            loop {
                ticks.tick().await;
                self.handle.run_upkeep();
            }
        };
        shutdown.run_until_cancelled(work).await;
    }
}
