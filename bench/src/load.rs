//! Drives a store with many writers or readers and tells rates and percentiles.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use storage_core::{
    Outcome, Precondition, ResourceKey, Result, StorageBackend, StorageBackendExt, Timestamp,
    Transaction,
};

use crate::raw::RawRedb;
use crate::workload::{Random, created_key, key, value};

/// How many objects are put into a store at a time.
const FILL_BATCH: usize = 512;

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
    /// How many objects are updated: each writer has its share of them, and picks one at random
    /// for each update. As many as writers, or more.
    pub objects: usize,
}

/// Puts the objects into a store that are updated later.
///
/// # Errors
/// The first error of the store.
///
/// # Panics
/// If one of them is there.
pub async fn fill(backend: &dyn StorageBackend, load: Load) -> Result<()> {
    let numbers: Vec<usize> = (0..load.objects).collect();
    for numbers in numbers.chunks(FILL_BATCH) {
        let create = |&number: &usize| {
            let value = value(number as u64, load.value_bytes);
            let create = Transaction::put(key(number)?, Precondition::Absent, value);
            // The same in every store: a sync compares it.
            let time = Some(Timestamp::from_millis(1_700_000_000_000));
            Ok(Transaction { time, ..create })
        };
        let creates: Vec<_> = numbers.iter().map(create).collect::<Result<_>>()?;
        for outcome in backend.commit(creates).await? {
            assert!(outcome.revision().is_some(), "nobody else creates it");
        }
    }
    Ok(())
}

/// Lets every writer update objects of its own, each guarded by the revision it saw last. An
/// object that is not there is created.
///
/// # Errors
/// The first error of the store.
///
/// # Panics
/// If a guarded update conflicts: nobody else writes these objects.
pub async fn guarded_updates(backend: Arc<dyn StorageBackend>, load: Load) -> Result<Measured> {
    let mut plans = Vec::with_capacity(load.writers);
    for writer in 0..load.writers {
        plans.push(Some(Plan::read(&*backend, writer, load).await?));
    }
    at_once(load, |writer| {
        let backend = Arc::clone(&backend);
        let plan = plans[writer].take().expect("each writer begins once");
        async move { plan.run(&*backend).await }
    })
    .await
}

/// The updates of one writer.
struct Plan {
    /// By number, which of the objects come after each other.
    order: Vec<usize>,
    objects: BTreeMap<usize, (ResourceKey, Precondition)>,
    writer: usize,
    load: Load,
}

impl Plan {
    /// Picks the objects, and reads the revisions that they have.
    async fn read(backend: &dyn StorageBackend, writer: usize, load: Load) -> Result<Self> {
        let share = (load.objects / load.writers).max(1) as u64;
        let mut random = Random(writer as u64);
        let pick = |_| {
            let pick = usize::try_from(random.below(share)).unwrap_or_default();
            writer + load.writers * pick
        };
        let order: Vec<usize> = (0..load.updates).map(pick).collect();
        let mut objects = BTreeMap::new();
        for &number in &order {
            if objects.contains_key(&number) {
                continue;
            }
            let key = key(number)?;
            let current = backend.get(&key, None).await?;
            let precondition = current.map_or(Precondition::Absent, |stored| {
                Precondition::Revision(stored.revision)
            });
            objects.insert(number, (key, precondition));
        }
        Ok(Self {
            order,
            objects,
            writer,
            load,
        })
    }

    async fn run(mut self, backend: &dyn StorageBackend) -> Result<Vec<Duration>> {
        let mut latencies = Vec::with_capacity(self.order.len());
        for (update, number) in self.order.iter().enumerate() {
            let seed = (self.writer * self.load.updates + update) as u64;
            let value = value(seed, self.load.value_bytes);
            let (key, precondition) = self.objects.get_mut(number).expect("it was read");
            let begin = Instant::now();
            let transaction = Transaction::put(key.clone(), *precondition, value);
            match backend.commit_one(transaction).await? {
                Outcome::Committed { revision } => {
                    *precondition = Precondition::Revision(revision);
                }
                Outcome::Conflict(conflict) => panic!("nobody else writes here: {conflict:?}"),
            }
            latencies.push(begin.elapsed());
        }
        Ok(latencies)
    }
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

async fn at_once<F>(load: Load, one: impl FnMut(usize) -> F) -> Result<Measured>
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

/// Does the same on bare redb.
///
/// # Panics
/// If an update conflicts or the engine fails.
pub async fn raw_guarded_updates(raw: Arc<RawRedb>, load: Load) -> Measured {
    let known = |writer: usize| {
        let key = format!("{writer:08}").into_bytes();
        let expected = raw.revision(&key);
        (key, expected)
    };
    let known: Vec<_> = (0..load.writers).map(known).collect();
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for (writer, (key, mut expected)) in known.into_iter().enumerate() {
        let raw = Arc::clone(&raw);
        tasks.spawn(async move {
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
