//! Every image that a crash can leave of a redb file under our commits: each cut of the operations
//! below redb, with what was not synced lost, kept, kept in part, or torn; and crashes within the
//! recovery from that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backend_kv::{KvBackend, RedbEngine, RedbOptions};
use conformance::durability::{Chance, Compacting, Dump, Report, Twin, Workload, number_from_env};
use storage_core::ManualClock;
use tokio::runtime::Builder;

use crate::storage::{Disk, Event, Failing, Synced, Unsynced, image};
use crate::store::check_clean;

const IMAGES: u64 = 50_000;
/// Steps of one recorded workload.
const STEPS: u64 = 12;
/// Crashes within the recovery of one image, for every eighth image.
const SECOND_CRASHES: u64 = 3;
const OPTIONS: RedbOptions = RedbOptions {
    cache_bytes: 1 << 20,
};

/// What was counted, over all threads.
#[derive(Default)]
struct Counts {
    workloads: AtomicU64,
    images: AtomicU64,
    second: AtomicU64,
    in_flight: AtomicU64,
}

pub(crate) async fn run() -> Result<Report, String> {
    let target = number_from_env("UNISTORE_CRASH_IMAGES", IMAGES);
    let seed = number_from_env("UNISTORE_SEED", 1);
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let counts = Arc::new(Counts::default());
    let workers: Vec<_> = (0..threads)
        .map(|thread| {
            let counts = Arc::clone(&counts);
            tokio::task::spawn_blocking(move || {
                let runtime = Builder::new_current_thread().build().unwrap();
                runtime.block_on(work(&counts, seed ^ (thread << 40), target))
            })
        })
        .collect();
    for worker in workers {
        worker.await.map_err(|e| format!("a panic: {e}"))??;
    }
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Ok(format!(
        "{} crash images of {} workloads and {} second crashes, {} of them with a commit in flight",
        count(&counts.images),
        count(&counts.workloads),
        count(&counts.second),
        count(&counts.in_flight),
    ))
}

async fn work(counts: &Counts, seed: u64, target: u64) -> Result<(), String> {
    let mut chance = Chance::new(seed);
    while counts.images.load(Ordering::Relaxed) < target {
        let recording = Recording::make(chance.below(u64::MAX)).await;
        counts.workloads.fetch_add(1, Ordering::Relaxed);
        let mut synced = Synced::default();
        for cut in 0..=recording.events.len() {
            synced.advance_to(cut, &recording.events);
            if cut < recording.created {
                continue;
            }
            for unsynced in Unsynced::ALL {
                let content = synced.image(&recording.events[..cut], unsynced, &mut chance);
                let crash = Crash {
                    cut,
                    unsynced,
                    content,
                };
                recording.recover_twice(crash, &mut chance, counts).await?;
            }
        }
    }
    Ok(())
}

/// A loss of power after some operations, and what it left.
struct Crash {
    cut: usize,
    unsynced: Unsynced,
    content: Vec<u8>,
}

/// A workload that ran to its end, with everything that it did below redb.
struct Recording {
    workload: Workload,
    events: Vec<Event>,
    /// Operations until the store was created.
    created: usize,
    /// Operations until each step was answered.
    answered: Vec<usize>,
    /// The state after none, one, two … steps.
    states: Vec<Dump>,
}

impl Recording {
    async fn make(seed: u64) -> Self {
        let workload = Workload {
            seed,
            value_bytes_max: 6000,
            compacting: Compacting::StepByStep,
        };
        let disk = Disk::new(Vec::new(), Failing::Never);
        let clock = Arc::new(ManualClock::default());
        let engine = RedbEngine::with_storage(disk.clone(), &OPTIONS).unwrap();
        let store = KvBackend::open(engine, Arc::clone(&clock) as _).unwrap();
        let created = disk.event_count();
        let mut twin = Twin::new(workload);
        let mut answered = Vec::new();
        let mut states = vec![twin.dump().await];
        for step in 0..STEPS {
            workload.run(step, &store, &clock).await.unwrap();
            answered.push(disk.event_count());
            twin.advance_to(step + 1).await;
            states.push(twin.dump().await);
        }
        drop(store);
        Self {
            workload,
            events: disk.events(),
            created,
            answered,
            states,
        }
    }

    async fn recover_twice(
        &self,
        crash: Crash,
        chance: &mut Chance,
        counts: &Counts,
    ) -> Result<(), String> {
        let acknowledged = self.answered.iter().filter(|end| **end <= crash.cut);
        let acknowledged = acknowledged.count();
        let what = || {
            let (seed, end) = (self.workload.seed, self.events.len());
            format!(
                "seed {seed}, cut {} of {end}, {:?}",
                crash.cut, crash.unsynced
            )
        };
        let disk = Disk::new(crash.content.clone(), Failing::Never);
        let recovered = self.recover(&disk, acknowledged).await;
        let recovered = recovered.map_err(|e| format!("{}: {e}", what()))?;
        counts.images.fetch_add(1, Ordering::Relaxed);
        let in_flight = (recovered.steps - acknowledged) as u64;
        counts.in_flight.fetch_add(in_flight, Ordering::Relaxed);
        let recovery = disk.events();
        if chance.one_in(8) {
            let gone_on = self.go_on(&disk, recovered.steps).await;
            gone_on.map_err(|e| format!("{}: {e}", what()))?;
        }
        if !chance.one_in(8) {
            return Ok(());
        }
        for _ in 0..SECOND_CRASHES {
            let cut = chance.below(recovery.len() as u64 + 1) as usize;
            let unsynced = Unsynced::ALL[chance.below(4) as usize];
            let content = self.crash_again(&crash, &recovery[..cut], unsynced, chance);
            // Once the store was open a reader may have seen the step that was in flight.
            let seen = if cut < recovered.opened_at {
                acknowledged
            } else {
                recovered.steps
            };
            let disk = Disk::new(content, Failing::Never);
            let again = self.recover(&disk, seen).await;
            again.map_err(|e| format!("{}, again at {cut}, {unsynced:?}: {e}", what()))?;
            counts.second.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Returns what a crash in the recovery from another one leaves. If all operations of the
    /// first one had arrived, only the process had crashed: then they are as unsynced as before.
    fn crash_again(
        &self,
        crash: &Crash,
        recovery: &[Event],
        unsynced: Unsynced,
        chance: &mut Chance,
    ) -> Vec<u8> {
        if crash.unsynced != Unsynced::All {
            return image(&crash.content, recovery, unsynced, chance);
        }
        let mut events = self.events[..crash.cut].to_vec();
        events.extend_from_slice(recovery);
        image(&[], &events, unsynced, chance)
    }

    /// Opens a disk. All steps that were acknowledged must be there, perhaps the next one too, and
    /// no part of another.
    async fn recover(&self, disk: &Disk, acknowledged: usize) -> Result<Recovered, String> {
        let clock = Arc::new(ManualClock::default());
        let opened = RedbEngine::with_storage(disk.clone(), &OPTIONS)
            .and_then(|engine| KvBackend::open(engine, Arc::clone(&clock) as _));
        let store = opened.map_err(|e| format!("the store does not open: {e:?}"))?;
        let opened_at = disk.event_count();
        check_clean(&store).await?;
        let dump = Dump::of(&store).await.map_err(|e| format!("{e:?}"))?;
        // The next step may change nothing, then both states are right.
        let steps = (acknowledged..self.states.len().min(acknowledged + 2))
            .find(|steps| self.states[*steps] == dump);
        let steps = steps.ok_or_else(|| {
            let difference = dump.difference(&self.states[acknowledged]);
            format!("no committed state at or after step {acknowledged}: {difference}")
        })?;
        Ok(Recovered { steps, opened_at })
    }

    /// Goes on with a store that was recovered.
    async fn go_on(&self, disk: &Disk, steps: usize) -> Result<(), String> {
        if steps + 1 == self.states.len() {
            return Ok(());
        }
        let clock = Arc::new(ManualClock::default());
        let opened = RedbEngine::with_storage(disk.clone(), &OPTIONS)
            .and_then(|engine| KvBackend::open(engine, Arc::clone(&clock) as _));
        let store = opened.map_err(|e| format!("the store does not open again: {e:?}"))?;
        let run = self.workload.run(steps as u64, &store, &clock);
        run.await.map_err(|e| format!("the next step: {e:?}"))?;
        check_clean(&store).await?;
        let dump = Dump::of(&store).await.map_err(|e| format!("{e:?}"))?;
        if dump != self.states[steps + 1] {
            return Err("the next step had another effect".into());
        }
        Ok(())
    }
}

/// What was found after a crash.
struct Recovered {
    /// Steps whose effect is there.
    steps: usize,
    /// Operations of the recovery until the store could be read.
    opened_at: usize,
}
