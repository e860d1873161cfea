//! Drives a store with many writers or readers and tells rates and percentiles.

use std::sync::Arc;
use std::time::{Duration, Instant};

use storage_core::{Outcome, Precondition, Result, StorageBackend, StorageBackendExt, Transaction};

use crate::raw::RawRedb;
use crate::workload::{created_key, key, value};

/// What one run measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Operations that were done.
    pub operations: u64,
    /// The time from the first start to the last end.
    pub elapsed: Duration,
    /// The time of each operation, ascending.
    latencies: Vec<Duration>,
}

impl Measured {
    fn new(elapsed: Duration, mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        Self {
            operations: latencies.len() as u64,
            elapsed,
            latencies,
        }
    }

    /// Returns operations per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate is for reading")]
        let operations = self.operations as f64;
        operations / self.elapsed.as_secs_f64()
    }

    /// Returns the latency that `percent` of the operations did not exceed.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        let index = (self.latencies.len() * percent / 100).min(last);
        self.latencies.get(index).copied().unwrap_or_default()
    }
}

/// The work of one run.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many write at the same time, each waiting for its answer before the next write.
    pub writers: usize,
    /// How many updates each makes.
    pub updates: usize,
    /// How large a value is.
    pub value_bytes: usize,
}

/// Lets every writer update objects of its own, each guarded by the revision it saw last.
///
/// # Errors
/// The first error of the store.
///
/// # Panics
/// If a guarded update conflicts: nobody else writes these objects.
pub async fn guarded_updates(backend: Arc<dyn StorageBackend>, load: Load) -> Result<Measured> {
    at_once(load, |writer| {
        let backend = Arc::clone(&backend);
        async move { updates(&*backend, writer, load).await }
    })
    .await
}

/// Lets every writer create objects that were never there, `updates` each. `run` tells the runs on
/// one store apart.
///
/// # Errors
/// The first error of the store.
///
/// # Panics
/// If an object is there: the store had a run of that number.
pub async fn creates(backend: Arc<dyn StorageBackend>, load: Load, run: usize) -> Result<Measured> {
    at_once(load, |writer| {
        let backend = Arc::clone(&backend);
        let first = (run * load.writers + writer) * load.updates;
        async move { creates_from(&*backend, first, load).await }
    })
    .await
}

async fn at_once<F>(load: Load, one: impl Fn(usize) -> F) -> Result<Measured>
where
    F: Future<Output = Result<Vec<Duration>>> + Send + 'static,
{
    let start = Instant::now();
    let mut tasks: tokio::task::JoinSet<_> = (0..load.writers).map(one).collect();
    let mut latencies = Vec::with_capacity(load.writers * load.updates);
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok(of_one) => latencies.extend(of_one?),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    Ok(Measured::new(start.elapsed(), latencies))
}

async fn creates_from(
    backend: &dyn StorageBackend,
    first: usize,
    load: Load,
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(load.updates);
    for number in first..first + load.updates {
        let key = created_key(number)?;
        let value = value(number as u64, load.value_bytes);
        let begin = Instant::now();
        let create = Transaction::put(key, Precondition::Absent, value);
        let outcome = backend.commit_one(create).await?;
        assert!(outcome.revision().is_some(), "nobody else creates it");
        latencies.push(begin.elapsed());
    }
    Ok(latencies)
}

async fn updates(backend: &dyn StorageBackend, writer: usize, load: Load) -> Result<Vec<Duration>> {
    let key = key(writer)?;
    let current = backend.get(&key, None).await?.map(|stored| stored.revision);
    let mut precondition = current.map_or(Precondition::Absent, Precondition::Revision);
    let mut latencies = Vec::with_capacity(load.updates);
    for update in 0..load.updates {
        let value = value((writer * load.updates + update) as u64, load.value_bytes);
        let begin = Instant::now();
        let transaction = Transaction::put(key.clone(), precondition, value);
        match backend.commit_one(transaction).await? {
            Outcome::Committed { revision } => precondition = Precondition::Revision(revision),
            Outcome::Conflict(conflict) => panic!("nobody else writes here: {conflict:?}"),
        }
        latencies.push(begin.elapsed());
    }
    Ok(latencies)
}

/// Does the same on bare redb.
///
/// # Panics
/// If an update conflicts or the engine fails.
pub async fn raw_guarded_updates(raw: Arc<RawRedb>, load: Load) -> Measured {
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..load.writers {
        let raw = Arc::clone(&raw);
        tasks.spawn(async move {
            let key = format!("{writer:08}").into_bytes();
            let mut expected = raw.revision(&key);
            let mut latencies = Vec::with_capacity(load.updates);
            for update in 0..load.updates {
                let value = value((writer * load.updates + update) as u64, load.value_bytes);
                let begin = Instant::now();
                let outcome = raw.update(key.clone(), expected, value.to_vec()).await;
                expected = outcome.expect("nobody else writes here and the engine works");
                latencies.push(begin.elapsed());
            }
            latencies
        });
    }
    let mut latencies = Vec::new();
    while let Some(joined) = tasks.join_next().await {
        latencies.extend(joined.expect("a writer does not panic"));
    }
    Measured::new(start.elapsed(), latencies)
}
