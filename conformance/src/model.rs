//! Replays operations on a store and on [`Memory`](storage_core::Memory), and compares every answer.
//!
//! `Memory` is never compacted, so it knows what a store may have dropped: below the store's
//! horizon an answer may be `Expired`, and where it is not it must be right. Revisions are compared
//! by what they stand for, so that a store may number its commits as it likes.

mod answer;
mod kept;
mod run;

use std::fmt;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use tokio::runtime::Handle;

use self::run::Run;
use crate::ops::{Op, ops};
use crate::{Backend, Fixture, Reopening};

/// Most operations of one run.
const OPS_MAX: usize = 100;

/// A store that runs are replayed on, one after the other. Each has keys of its own, and the
/// neighbourhood of all before.
#[derive(Debug)]
pub struct Session {
    fixture: Fixture,
    store: Option<Backend>,
    runs: u64,
}

/// What a store answered otherwise than the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The operation, counted from zero; none for the check after the last one.
    pub step: Option<usize>,
    /// What is different.
    pub difference: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Some(step) => write!(f, "operation {step}: {}", self.difference),
            None => write!(f, "after the last operation: {}", self.difference),
        }
    }
}

impl Session {
    /// Opens the store.
    pub async fn open(fixture: Fixture) -> Self {
        let store = Some(fixture.open().await);
        Self {
            fixture,
            store,
            runs: 0,
        }
    }

    /// Replays operations on the store and on the model.
    ///
    /// # Errors
    /// The first answer that differs.
    pub async fn replay(&mut self, ops: &[Op]) -> Result<(), Mismatch> {
        let mut run = self.start().await;
        for (step, op) in ops.iter().enumerate() {
            let result = match op {
                Op::Reopen => {
                    self.reopen(&mut run).await;
                    Ok(())
                }
                op => run.step(op).await,
            };
            result.map_err(|difference| Mismatch {
                step: Some(step),
                difference,
            })?;
        }
        run.check_everything().await.map_err(|difference| Mismatch {
            step: None,
            difference,
        })
    }

    async fn start(&mut self) -> Run {
        self.runs += 1;
        let store = self.store.as_ref().expect("the store is open");
        Run::start(store.clone(), self.fixture.shared_clock(), self.runs).await
    }

    async fn reopen(&mut self, run: &mut Run) {
        run.close();
        let store = self.store.take().expect("the store is open");
        self.store = Some(self.fixture.reopen(store).await);
        match self.fixture.declared().reopening {
            Reopening::KeepsAll => run.open(self.store.clone().expect("the store is open")),
            Reopening::KeepsNothing => *run = self.start().await,
        }
    }
}

/// Replays `cases` random runs on one store; the seed chooses them.
///
/// # Panics
/// If an answer differs: with the shortest operations that were found to show it.
pub async fn soak(fixture: Fixture, cases: u32, seed: u64) {
    let mut session = Session::open(fixture).await;
    let runtime = Handle::current();
    let work = tokio::task::spawn_blocking(move || {
        let config = Config {
            cases,
            failure_persistence: None,
            max_shrink_iters: 2_000,
            ..Config::default()
        };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let session = parking_lot::Mutex::new(&mut session);
        TestRunner::new_with_rng(config, rng).run(&ops(OPS_MAX), |ops| {
            let result = runtime.block_on(session.lock().replay(&ops));
            result.map_err(|mismatch| TestCaseError::fail(mismatch.to_string()))
        })
    });
    match work.await.expect("the runs end") {
        Ok(()) => {}
        Err(TestError::Fail(why, ops)) => panic!("seed {seed}: {why}\n{ops:#?}"),
        Err(TestError::Abort(why)) => panic!("seed {seed}: aborted: {why}"),
    }
}
