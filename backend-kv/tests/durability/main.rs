//! Proofs that what was acknowledged is there: after `kill -9`, IO errors, every crash image, and
//! real cuts of the power. Prints what was counted; `docs/durability.md` says what it means.
//!
//! Arguments choose proofs by a part of their name. More rounds by the environment:
//! `UNISTORE_KILL_ROUNDS`, `UNISTORE_CRASH_IMAGES`, `UNISTORE_POWER_CUTS`; another seed by
//! `UNISTORE_SEED`. `UNISTORE_POWERCUT=off` leaves out the power cuts, which need root and loop
//! devices.
#![allow(clippy::unwrap_used, reason = "test code")]

mod crash_images;
mod io_errors;
mod storage;
mod store;

use std::process::ExitCode;

use conformance::durability::{self, Proof, kills, must_lose, power_cuts};
use futures::FutureExt;

use self::store::Engine;

/// Kills of a process on each engine.
const KILLS: u64 = 200;
/// Cuts of each engine.
const CUTS: u64 = 60;

const PROOFS: [(&str, Proof); 7] = [
    ("kill_redb", || kills(&Engine::Redb, KILLS).boxed_local()),
    ("kill_sled", || kills(&Engine::Sled, KILLS).boxed_local()),
    ("io_errors_redb", || io_errors::run().boxed_local()),
    ("crash_images_redb", || crash_images::run().boxed_local()),
    ("power_cuts_redb", || {
        power_cuts(&Engine::Redb, CUTS).boxed_local()
    }),
    ("power_cuts_sled", || {
        power_cuts(&Engine::Sled, CUTS).boxed_local()
    }),
    ("power_cuts_must_lose", || {
        must_lose(&Engine::SledFlushOnly).boxed_local()
    }),
];

fn main() -> ExitCode {
    durability::main(
        &[&Engine::Redb, &Engine::Sled, &Engine::SledFlushOnly],
        &PROOFS,
    )
}
