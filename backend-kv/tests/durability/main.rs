//! Proofs that what was acknowledged is there: after `kill -9`, IO errors, every crash image, and
//! real cuts of the power. Prints what was counted; `docs/durability.md` says what it means.
//!
//! Arguments choose proofs by a part of their name. More rounds by the environment:
//! `UNISTORE_KILL_ROUNDS`, `UNISTORE_CRASH_IMAGES`, `UNISTORE_POWER_CUTS`; another seed by
//! `UNISTORE_SEED`. `UNISTORE_POWERCUT=off` leaves out the power cuts, which need root and loop
//! devices.
#![allow(clippy::unwrap_used, reason = "test code")]

mod chance;
mod crash_images;
mod dump;
mod io_errors;
mod kill;
mod power_cuts;
mod shutdown;
mod storage;
mod store;
mod workload;
mod writer;

use std::process::ExitCode;
use std::time::Instant;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use tokio::runtime::Builder;

use self::store::Setting;

/// What a proof counted, for people.
pub(crate) type Report = String;

type Proof = fn() -> LocalBoxFuture<'static, Result<Report, String>>;

const PROOFS: [(&str, Proof); 7] = [
    ("kill_redb", || kill::run(Setting::Redb).boxed_local()),
    ("kill_sled", || kill::run(Setting::Sled).boxed_local()),
    ("io_errors_redb", || io_errors::run().boxed_local()),
    ("crash_images_redb", || crash_images::run().boxed_local()),
    ("power_cuts_redb", || {
        power_cuts::none_loses(Setting::Redb).boxed_local()
    }),
    ("power_cuts_sled", || {
        power_cuts::none_loses(Setting::Sled).boxed_local()
    }),
    ("power_cuts_must_lose", || {
        power_cuts::must_lose(Setting::SledFlushOnly).boxed_local()
    }),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    if arguments
        .first()
        .is_some_and(|first| first == writer::COMMAND)
    {
        runtime.block_on(writer::main(&arguments[1..]));
        return ExitCode::SUCCESS;
    }
    let words: Vec<_> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let mut all_hold = true;
    for (name, proof) in PROOFS {
        if words.is_empty() || words.iter().any(|word| name.contains(word.as_str())) {
            all_hold &= run(name, || runtime.block_on(proof()));
        }
    }
    if all_hold {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(name: &str, proof: impl FnOnce() -> Result<Report, String>) -> bool {
    let start = Instant::now();
    let result = proof();
    let seconds = start.elapsed().as_secs_f64();
    match &result {
        Ok(report) => println!("{name}: ok, {report} ({seconds:.1} s)"),
        Err(why) => println!("{name}: FAILED, {why} ({seconds:.1} s)"),
    }
    result.is_ok()
}

pub(crate) fn number_from_env(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}
