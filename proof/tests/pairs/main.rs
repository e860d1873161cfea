//! The conformance suite on a dual writer of real engines: each case on each legacy store with each
//! unified store in each mode.
//!
//! All cases of SQLite with redb and of memory with sled run always. Of the other pairs those run
//! that differ most from engine to engine; all others are run by
//! `cargo xtask test -p proof --test pairs -- --include-ignored`.
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

#[path = "../../../backend-kv/tests/conformance/folder.rs"]
mod folder;
#[path = "../../../backend-kv/tests/conformance/on_redb.rs"]
mod on_redb;
#[path = "../../../backend-kv/tests/conformance/on_sled.rs"]
mod on_sled;
mod pair;
mod selection;
#[path = "../../../backend-sql/tests/it/stores.rs"]
mod stores;

use std::process::ExitCode;
use std::sync::Arc;

use conformance::{CASES, Harness};
use dualwriter::Mode;
use libtest_mimic::{Arguments, Trial};

use pair::{Legacy, Pair, Unified};
use selection::runs_always;

const THREADS_VARIABLE: &str = "RUST_TEST_THREADS";

fn main() -> ExitCode {
    let mut trials = Vec::new();
    for legacy in Legacy::ALL {
        for unified in Unified::ALL {
            for mode in Mode::ALL {
                trials.extend(CASES.iter().map(|case| trial(case, legacy, unified, mode)));
            }
        }
    }
    libtest_mimic::run(&arguments(), trials).exit_code()
}

/// Takes the number of threads from where the runner of all other tests takes it, too.
fn arguments() -> Arguments {
    let mut arguments = Arguments::from_args();
    if let (None, Ok(threads)) = (arguments.test_threads, std::env::var(THREADS_VARIABLE)) {
        let number = threads.parse();
        let number = number.unwrap_or_else(|_| panic!("{THREADS_VARIABLE}={threads} is no number"));
        arguments.test_threads = Some(number);
    }
    arguments
}

fn trial(case: &'static str, legacy: Legacy, unified: Unified, mode: Mode) -> Trial {
    let name = format!("{legacy}_{unified}::mode_{mode}::{case}");
    let run = move || {
        let pair: Arc<dyn Harness> = Arc::new(Pair::new(legacy, unified, mode));
        conformance::run(&pair, case);
        Ok(())
    };
    Trial::test(name, run).with_ignored_flag(!runs_always(case, legacy, unified))
}
