//! The dual writer in the simulator of `proof`, where each choice is a byte of the input: clients,
//! an operator, watchers, faults before and after the effect, crashes, restarts, pauses.
//!
//! Prints from time to time how many operations there were.
#![no_main]

use std::sync::atomic::{AtomicU64, Ordering};

use libfuzzer_sys::fuzz_target;
use proof::{Choices, Size, run};

/// How many operations pass between two lines.
const LINE: u64 = 100_000;

/// How many inputs pass between two that are run twice.
const TWICE: u64 = 64;

static OPERATIONS: AtomicU64 = AtomicU64::new(0);
static INPUTS: AtomicU64 = AtomicU64::new(0);

fuzz_target!(|bytes: &[u8]| {
    let once = || match run(Choices::from_bytes(bytes), Size::default()) {
        Ok(report) => report,
        Err(broken) => panic!("{broken}"),
    };
    let report = once();
    if INPUTS.fetch_add(1, Ordering::Relaxed).is_multiple_of(TWICE) {
        assert_eq!(once(), report, "an input does not give the same run each time");
    }
    let before = OPERATIONS.fetch_add(report.operations, Ordering::Relaxed);
    let now = before + report.operations;
    if before / LINE < now / LINE {
        println!("{now} operations");
    }
});
