//! Seeds of the simulator: none may violate an invariant, and each planted fault must be noticed.
//!
//! `UNISTORE_SIM_SEED=7` replays one seed, `UNISTORE_SIM_SEEDS=50000` runs that many,
//! `UNISTORE_SIM_SECONDS=3600` runs for an hour, `UNISTORE_SIM_FIRST=1000000` starts elsewhere.
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

mod directed;
#[cfg(feature = "seeded-bugs")]
mod planted;
mod seeds;

use std::time::Duration;

use proof::{Choices, Size, run};

use crate::seeds::{Range, Until};

/// How many seeds the run has that everybody waits for.
const SEEDS: u64 = 50_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is {text:?}, a number is allowed"))
    })
}

/// What a seed is good for.
#[test]
fn a_seed_gives_the_same_run_each_time() {
    for seed in 0..50 {
        let [first, second] = [(), ()].map(|()| run(Choices::from_seed(seed), Size::default()));
        assert_eq!(
            first, second,
            "seed {seed}: was RUSTFLAGS set? It replaces the flags of .cargo/config.toml"
        );
    }
}

/// A write whose client had gone away landed between a list and the watch that was compared with it:
/// the run took itself for quiet while no intent told of the write yet.
#[test]
fn a_run_waits_for_writes_whose_clients_went_away() {
    run(Choices::from_seed(3_032_827), Size::default()).unwrap();
}

#[test]
fn no_seed_violates_an_invariant() {
    if let Some(seed) = number("UNISTORE_SIM_SEED") {
        let done = run(Choices::from_seed(seed), Size::default());
        done.unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        return;
    }
    let until = match number("UNISTORE_SIM_SECONDS") {
        Some(seconds) => Until::Elapsed(Duration::from_secs(seconds)),
        None => Until::Seeds(number("UNISTORE_SIM_SEEDS").unwrap_or(SEEDS)),
    };
    let range = Range {
        first: number("UNISTORE_SIM_FIRST").unwrap_or(0),
        until,
    };
    let done = range.run(&|| {});
    println!(
        "{} seeds, {} operations in {:.0} s",
        done.seeds,
        done.operations,
        done.elapsed.as_secs_f64()
    );
    if let Some((seed, broken)) = done.broken {
        panic!("UNISTORE_SIM_SEED={seed} replays this: {broken}");
    }
}
