//! Proofs that what was acknowledged is there after `kill -9` and after real cuts of the power.
//! Prints what was counted; `docs/durability.md` says what it means.
//!
//! Arguments choose proofs by a part of their name. More rounds by the environment:
//! `UNISTORE_KILL_ROUNDS`, `UNISTORE_POWER_CUTS`; another seed by `UNISTORE_SEED`.
//! `UNISTORE_POWERCUT=off` leaves out the power cuts, which need root and loop devices.
#![allow(clippy::unwrap_used, reason = "test code")]

#[path = "../it/servers.rs"]
mod servers;
mod store;

use std::process::ExitCode;

use conformance::durability::{self, Proof, kills, must_lose, power_cuts};
use futures::FutureExt;

use self::store::Database;

/// Kills of a process that writes to SQLite.
const KILLS: u64 = 40;
/// Cuts of each engine.
const CUTS: u64 = 20;

const PROOFS: [(&str, Proof); 5] = [
    ("kill_sqlite", || {
        kills(&Database::Sqlite, KILLS).boxed_local()
    }),
    ("power_cuts_sqlite", || {
        power_cuts(&Database::Sqlite, CUTS).boxed_local()
    }),
    ("power_cuts_postgres", || {
        power_cuts(&Database::Postgres, CUTS).boxed_local()
    }),
    ("power_cuts_must_lose_sqlite", || {
        must_lose(&Database::SqliteUnsynced).boxed_local()
    }),
    ("power_cuts_must_lose_postgres", || {
        must_lose(&Database::PostgresUnsynced).boxed_local()
    }),
];

fn main() -> ExitCode {
    let settings = Database::ALL.each_ref().map(|setting| setting as _);
    durability::main(&settings, &PROOFS)
}
