use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use conformance::linearizability::{Answer, Operation, Request, Verdict, check};
use parking_lot::Mutex;

/// States after which the search for an explanation is given up.
const STATES_MAX: usize = 2_000_000;

/// What clients asked and were told, by object, on a clock that they share.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    now: AtomicU64,
    values: AtomicU64,
    histories: Mutex<BTreeMap<usize, Vec<Operation>>>,
}

impl Histories {
    /// Returns a value that nobody wrote yet.
    pub(crate) fn fresh(&self) -> u64 {
        self.values.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn tick(&self) -> u64 {
        self.now.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds an operation that was called at `call` and is answered now.
    pub(crate) fn record(&self, object: usize, request: Request, call: u64, answer: Answer) {
        let operation = Operation {
            call,
            answered: self.tick(),
            request,
            answer,
        };
        self.histories
            .lock()
            .entry(object)
            .or_default()
            .push(operation);
    }

    /// Checks that each object's history has an explanation.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (object, history) in &*self.histories.lock() {
            match check(None, history, STATES_MAX) {
                Verdict::Linearizable | Verdict::Undecided => {}
                Verdict::Illegal(_) => {
                    let text: Vec<String> = history.iter().map(|o| format!("{o:?}")).collect();
                    let text = text.join("\n  ");
                    return Err(format!(
                        "D1 to D7: the history of object {object} is illegal:\n  {text}"
                    ));
                }
            }
        }
        Ok(())
    }
}
