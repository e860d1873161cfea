//! Running many seeds, on all cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proof::{Choices, Size, run};

/// When to stop.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Seeds(u64),
    Elapsed(Duration),
}

/// Seeds one after the other.
pub(crate) struct Range {
    pub(crate) first: u64,
    pub(crate) until: Until,
}

/// What became of them.
pub(crate) struct Done {
    pub(crate) seeds: u64,
    pub(crate) operations: u64,
    pub(crate) elapsed: Duration,
    /// The first seed that was noticed to violate something, and what.
    pub(crate) broken: Option<(u64, String)>,
}

impl Range {
    /// Runs them until one is violated. Each thread calls `prepare` first. Other ranges wait: each
    /// takes all cores, and some have to end in time.
    pub(crate) fn run(&self, prepare: &(dyn Fn() + Sync)) -> Done {
        static ONE: Mutex<()> = Mutex::new(());
        let _alone = ONE.lock().unwrap();
        let started = Instant::now();
        let (next, seeds, operations) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let stop = AtomicBool::new(false);
        let broken = Mutex::new(None);
        let work = || {
            prepare();
            while !stop.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let over = match self.until {
                    Until::Seeds(seeds) => number >= seeds,
                    Until::Elapsed(bound) => started.elapsed() >= bound,
                };
                if over {
                    return;
                }
                let seed = self.first + number;
                match run(Choices::from_seed(seed), Size::default()) {
                    Ok(report) => {
                        seeds.fetch_add(1, Ordering::Relaxed);
                        operations.fetch_add(report.operations, Ordering::Relaxed);
                    }
                    Err(what) => {
                        stop.store(true, Ordering::Relaxed);
                        broken.lock().unwrap().get_or_insert((seed, what));
                    }
                }
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        Done {
            seeds: seeds.into_inner(),
            operations: operations.into_inner(),
            elapsed: started.elapsed(),
            broken: broken.into_inner().unwrap(),
        }
    }
}
