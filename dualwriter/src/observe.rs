//! The numbers that are counted. The names of the first four are the source document's.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{
    Counter, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::{Kind, Mode, Side};

/// Requests, by kind, mode, operation and status.
pub const REQUESTS: &str = "dual_writer_requests_total";
/// How long syncs took.
pub const SYNC_DURATION: &str = "dual_writer_sync_duration_seconds";
/// Syncs that were completed.
pub const SYNC_SUCCESS: &str = "dual_writer_sync_success_total";
/// Changes of mode, by kind, from and to.
pub const TRANSITIONS: &str = "dual_writer_mode_transitions_total";
/// The effective mode of a kind.
pub const MODE: &str = "dual_writer_current_mode";
/// Verification and background reads that found the stores to differ.
pub const READ_DIFFERENCES: &str = "dual_writer_read_differences_total";
/// Reads that only legacy could answer in mode 3; zero before mode 4.
pub const FALLBACK_HITS: &str = "dual_writer_fallback_hits_total";
/// Intents that were finished by somebody else than their owner.
pub const INTENTS_RECOVERED: &str = "dual_writer_intents_recovered_total";
/// Unfinished writes, as the background task saw them last.
pub const INTENTS: &str = "dual_writer_intents";
/// The age of the oldest unfinished write.
pub const INTENT_AGE: &str = "dual_writer_oldest_intent_seconds";
/// Objects in the queue of mode 1.
pub const QUEUE_DEPTH: &str = "dual_writer_queue_depth";
/// Background writes and reads of unified that failed or were dropped, by what happened.
pub const BACKGROUND_ERRORS: &str = "dual_writer_background_errors_total";
/// Objects that a sync copied or deleted.
pub const SYNC_REPAIRS: &str = "dual_writer_sync_repairs_total";

/// Describes the numbers to the recorder that is installed.
pub fn describe() {
    describe_counter!(REQUESTS, "Requests, by mode, operation and status.");
    describe_histogram!(SYNC_DURATION, Unit::Seconds, "How long syncs took.");
    describe_counter!(SYNC_SUCCESS, "Syncs that left both stores equal.");
    describe_counter!(
        TRANSITIONS,
        "Changes of mode, by the modes before and after."
    );
    describe_gauge!(MODE, "The mode in force.");
    describe_counter!(READ_DIFFERENCES, "Reads that found the stores to differ.");
    describe_counter!(
        FALLBACK_HITS,
        "Reads that only legacy could answer in mode 3."
    );
    describe_counter!(INTENTS_RECOVERED, "Writes that another process finished.");
    describe_gauge!(INTENTS, "Writes that are begun and not finished.");
    describe_gauge!(INTENT_AGE, Unit::Seconds, "The age of the oldest of them.");
    describe_gauge!(
        QUEUE_DEPTH,
        "Objects that mode 1 has left to the background."
    );
    describe_counter!(
        BACKGROUND_ERRORS,
        "What mode 1 could not do in the background."
    );
    describe_counter!(SYNC_REPAIRS, "Objects that a sync copied or deleted.");
}

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Commit,
    Get,
    List,
}

/// What became of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Status {
    Ok,
    Conflict,
    Indeterminate,
    Error,
}

/// The requests of a kind in one mode, as long as one view of it lasts. Each counter is looked up
/// once: its labels are text that every request would make anew.
#[derive(Debug, Default)]
pub(crate) struct Requests([[OnceLock<Counter>; 4]; 3]);

impl Requests {
    pub(crate) fn count(&self, kind: &Kind, mode: Mode, operation: Operation, status: Status) {
        let named = || {
            let operation = match operation {
                Operation::Commit => "commit",
                Operation::Get => "get",
                Operation::List => "list",
            };
            let status = match status {
                Status::Ok => "ok",
                Status::Conflict => "conflict",
                Status::Indeterminate => "indeterminate",
                Status::Error => "error",
            };
            counter!(REQUESTS, "resource" => kind.to_string(), "mode" => mode.to_string(),
                "operation" => operation, "status" => status)
        };
        self.0[operation as usize][status as usize]
            .get_or_init(named)
            .increment(1);
    }
}

pub(crate) fn sync_finished(kind: &Kind, took: Duration, complete: bool) {
    histogram!(SYNC_DURATION, "resource" => kind.to_string()).record(took.as_secs_f64());
    if complete {
        counter!(SYNC_SUCCESS, "resource" => kind.to_string()).increment(1);
    }
}

pub(crate) fn repaired(kind: &Kind, to: Side) {
    counter!(SYNC_REPAIRS, "resource" => kind.to_string(), "to" => to.to_string()).increment(1);
}

pub(crate) fn transition(kind: &Kind, from: Mode, to: Mode) {
    counter!(TRANSITIONS, "resource" => kind.to_string(), "from" => from.to_string(),
        "to" => to.to_string())
    .increment(1);
}

pub(crate) fn mode(kind: &Kind, mode: Mode) {
    gauge!(MODE, "resource" => kind.to_string()).set(f64::from(mode.number()));
}

pub(crate) fn read_difference(kind: &Kind) {
    counter!(READ_DIFFERENCES, "resource" => kind.to_string()).increment(1);
}

pub(crate) fn fallback_hit(kind: &Kind) {
    counter!(FALLBACK_HITS, "resource" => kind.to_string()).increment(1);
}

pub(crate) fn intent_recovered(kind: &Kind) {
    counter!(INTENTS_RECOVERED, "resource" => kind.to_string()).increment(1);
}

pub(crate) fn intents(count: usize, oldest: Duration) {
    gauge!(INTENTS).set(u32::try_from(count).map_or(f64::MAX, f64::from));
    gauge!(INTENT_AGE).set(oldest.as_secs_f64());
}

pub(crate) fn queue_depth(depth: usize) {
    gauge!(QUEUE_DEPTH).set(u32::try_from(depth).map_or(f64::MAX, f64::from));
}

pub(crate) fn background_error(what: &'static str) {
    counter!(BACKGROUND_ERRORS, "what" => what).increment(1);
}
