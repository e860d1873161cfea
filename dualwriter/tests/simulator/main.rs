//! A seeded simulator around the real code: processes on shared stores that are slow, fail before
//! or after the effect, crash or pause past a lease. One thread and a clock that jumps: a seed
//! gives the same run each time.
//!
//! `UNISTORE_SIM_SEED=7` replays one seed, `UNISTORE_SIM_SECONDS=3600` runs for an hour,
//! `UNISTORE_SIM_FIRST=1000000` starts elsewhere.
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

mod directed;
#[cfg(feature = "seeded-bugs")]
mod planted;
mod store;
mod world;

use std::time::{Duration, Instant};

use crate::world::{Size, run};

/// How long the run takes that everybody waits for.
const SECONDS: u64 = 60;
/// Fewer seeds than this show nothing: the machine or the simulator is broken.
const SEEDS_MIN: u64 = 200;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is {text:?}, a number is allowed"))
    })
}

#[test]
fn no_seed_violates_an_invariant() {
    if let Some(seed) = number("UNISTORE_SIM_SEED") {
        run(seed, Size::default()).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        return;
    }
    let first = number("UNISTORE_SIM_FIRST").unwrap_or(0);
    let seconds = number("UNISTORE_SIM_SECONDS").unwrap_or(SECONDS);
    let started = Instant::now();
    let mut seeds = 0;
    while started.elapsed() < Duration::from_secs(seconds) || seeds < SEEDS_MIN {
        let seed = first + seeds;
        if let Err(broken) = run(seed, Size::default()) {
            panic!("UNISTORE_SIM_SEED={seed} replays this: {broken}");
        }
        seeds += 1;
    }
    println!("{seeds} seeds in {:.0} s", started.elapsed().as_secs_f64());
}
