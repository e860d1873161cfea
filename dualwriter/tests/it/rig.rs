//! What most tests need: two stores, and dual writers on them.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use conformance::{Faults, Faulty};
use dualwriter::{DualWriter, DualWriterConfig, InstanceId, Mode, Options};
use storage_core::{Clock, INTERNAL_GROUP, ListQuery, Scope, StorageBackend, Timestamp};
use tokio::time::{Instant, sleep};

pub(crate) type Backend = Arc<dyn StorageBackend>;

/// The time of the runtime. Where that is paused no lease runs out because the machine is busy.
#[derive(Debug)]
struct RuntimeClock;

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        static SINCE: LazyLock<Instant> = LazyLock::new(Instant::now);
        let (now, start) = (Instant::now(), Timestamp::from_millis(1_700_000_000_000));
        // A runtime that was paused before this was asked for the first time is behind.
        match now.checked_duration_since(*SINCE) {
            Some(later) => start.saturating_add(later),
            None => start.saturating_sub(SINCE.duration_since(now)),
        }
    }
}

/// Options of one process, patient enough for a busy machine.
pub(crate) fn options(mode: Mode) -> Options {
    Options {
        clock: Arc::new(RuntimeClock),
        instance: InstanceId::random(),
        lease: Duration::from_secs(2),
        patience: Duration::from_secs(20),
        ..Options::new(DualWriterConfig::everything(mode))
    }
}

/// Opens a dual writer.
pub(crate) async fn open(legacy: &Backend, unified: &Backend, options: Options) -> DualWriter {
    DualWriter::open(Arc::clone(legacy), Arc::clone(unified), options)
        .await
        .expect("a dual writer opens")
}

/// Opens a dual writer whose calls to legacy and unified can fail or be held up.
pub(crate) async fn open_faulty(
    legacy: &Backend,
    unified: &Backend,
    options: Options,
) -> (Arc<DualWriter>, [Faults; 2]) {
    let [legacy, unified] = [legacy, unified].map(|store| Faulty::new(Arc::clone(store)));
    let faults = [legacy.faults(), unified.faults()];
    let opening = DualWriter::open(Arc::new(legacy), Arc::new(unified), options);
    (
        Arc::new(opening.await.expect("a dual writer opens")),
        faults,
    )
}

/// Counts the writes and copies that are not finished.
pub(crate) async fn intents(unified: &impl StorageBackend) -> usize {
    let intents = ListQuery::live(Scope::resource(INTERNAL_GROUP, "dual.intent"));
    unified.list(&intents).await.unwrap().items.len()
}

/// Waits for what the background does.
pub(crate) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let bound = Instant::now() + Duration::from_secs(60);
    while !done().await {
        assert!(Instant::now() < bound, "not yet: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}
