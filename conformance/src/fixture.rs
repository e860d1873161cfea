use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use storage_core::{ManualClock, Result, Timestamp};
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::{Backend, Declared, Harness, SecondOpen};

/// Runtime threads of a case: more than cores, so that races show.
const WORKERS: usize = 4;
/// A case that is still running after this time hangs.
const CASE_TIMEOUT: Duration = Duration::from_secs(300);
/// How long blocking work of a failed case may hold up the test process.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// When every store's manual clock starts.
const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// What a case works with: the store of a harness, and the clock of that store.
#[derive(Clone, Debug)]
pub struct Fixture {
    harness: Arc<dyn Harness>,
    clock: Arc<ManualClock>,
}

impl Fixture {
    /// Takes the harness of a store.
    #[must_use]
    pub fn new(harness: Arc<dyn Harness>) -> Self {
        Self {
            harness,
            clock: Arc::new(ManualClock::new(START)),
        }
    }

    /// Opens the store.
    pub async fn open(&self) -> Backend {
        self.try_open().await.expect("the store opens")
    }

    /// Opens the store, which may be refused.
    ///
    /// # Errors
    /// As [`Harness::open`].
    pub async fn try_open(&self) -> Result<Backend> {
        let clock = Arc::clone(&self.clock);
        self.harness.open(clock).await
    }

    /// Closes the store and opens it again. The handle must be the last one.
    pub async fn reopen(&self, store: Backend) -> Backend {
        assert_eq!(Arc::strong_count(&store), 1, "the store is still in use");
        drop(store);
        self.harness.closed().await;
        self.open().await
    }

    /// Returns a second handle on the same data if the backend can be shared, else the same one:
    /// what holds between two processes holds within one as well.
    pub async fn second(&self, store: &Backend) -> Backend {
        match self.declared().second_open {
            SecondOpen::SameStore => self.open().await,
            SecondOpen::Refused | SecondOpen::NewStore => Arc::clone(store),
        }
    }

    /// Returns the clock of the store.
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    pub(crate) fn shared_clock(&self) -> Arc<ManualClock> {
        Arc::clone(&self.clock)
    }

    /// Returns how many layers of the store add control records.
    #[must_use]
    pub fn journals(&self) -> usize {
        self.harness.journals()
    }

    /// Returns what the backend declares.
    #[must_use]
    pub fn declared(&self) -> Declared {
        self.harness.declared()
    }
}

pub(crate) fn run_case(
    harness: &Arc<dyn Harness>,
    case: fn(Fixture) -> LocalBoxFuture<'static, ()>,
) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let result = runtime.block_on(async {
        let case = async {
            let fixture = Fixture::new(Arc::clone(harness));
            let done = timeout(CASE_TIMEOUT, case(fixture)).await;
            if done.is_ok() {
                // The end of the runtime would break off what goes on in the background.
                harness.closed().await;
            }
            done
        };
        let result = AssertUnwindSafe(case).catch_unwind().await;
        harness.remove().await;
        result
    });
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    match result {
        Ok(Ok(())) => {}
        Ok(Err(_)) => panic!("the case hangs: not done after {CASE_TIMEOUT:?}"),
        Err(panic) => resume_unwind(panic),
    }
}
