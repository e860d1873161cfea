//! Proofs that what was acknowledged is there: after `kill -9`, and after real cuts of the power.
//!
//! A test program without the usual harness runs them by [`main()`]. It starts itself again as the
//! process that writes and is killed, or has its power cut; afterwards the store must answer every
//! question as [`Memory`](storage_core::Memory) does after the same steps: all that were
//! acknowledged, and either all or nothing of the one that was under way.

mod chance;
mod dump;
mod kill;
mod loop_disk;
mod power_cuts;
mod setting;
mod shutdown;
mod workload;
mod writer;

use std::process::ExitCode;
use std::time::Instant;

use futures::future::LocalBoxFuture;
use tokio::runtime::Builder;

pub use self::chance::Chance;
pub use self::dump::Dump;
pub use self::kill::kills;
pub use self::power_cuts::{must_lose, power_cuts};
use self::setting::verify;
pub use self::setting::{Opened, Served, Setting};
pub use self::workload::{Compacting, Twin, Workload};

/// What a proof counted, for people.
pub type Report = String;

/// A proof: what it counted, or why it does not hold.
pub type Proof = fn() -> LocalBoxFuture<'static, Result<Report, String>>;

/// Runs the proofs that the program's arguments choose by a part of their names, all without
/// arguments, and prints what was counted. `settings` are those that the writing process may be
/// asked for.
#[must_use]
pub fn main(settings: &[&dyn Setting], proofs: &[(&str, Proof)]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    if let Some((writer::COMMAND, arguments)) = arguments
        .split_first()
        .map(|(first, rest)| (first.as_str(), rest))
    {
        runtime.block_on(writer::main(settings, arguments));
        return ExitCode::SUCCESS;
    }
    let words: Vec<_> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let mut all_hold = true;
    for (name, proof) in proofs {
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

/// Reads a number from the environment.
///
/// # Panics
/// If it is not a number.
#[must_use]
pub fn number_from_env(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}
