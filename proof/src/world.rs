use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use conformance::linearizability::Answer;
use dualwriter::{DualWriter, DualWriterConfig, InstanceId, Kind, Mode, Options};
use parking_lot::Mutex;
use storage_core::{
    Clock, Memory, Precondition, ResourceKey, StorageBackendExt, Timestamp, Transaction,
};
use tokio::time::{Instant, timeout};

use crate::chance::{Chance, Choices, Faults};
use crate::clients::write;
use crate::connection::{Connection, Life};
use crate::history::Histories;

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// What all clients do together.
    pub operations: usize,
    /// Calls of stores that go wrong.
    pub faults: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            operations: 30,
            faults: 3,
        }
    }
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Operations of clients, changes of mode, syncs, and starts of watches.
    pub operations: u64,
    /// Choices that were made: another number is another run.
    pub choices: u64,
}

const LEASE: Duration = Duration::from_millis(200);
pub(crate) const KEYS: usize = 2;
const CLIENTS: usize = 3;
const WATCHERS: usize = 2;
/// Virtual time after which a run hangs.
const RUN_BOUND: Duration = Duration::from_secs(600);
/// How long a process tries to open its stores before it starts again.
const START_BOUND: Duration = Duration::from_secs(5);

pub(crate) fn key(number: usize) -> ResourceKey {
    let key = ResourceKey::new("example.org", "things", "ns", number.to_string());
    key.expect("the key is well formed")
}

pub(crate) fn kind() -> Kind {
    Kind::of(&key(0))
}

/// Reads a value of a client.
pub(crate) fn parse(value: &[u8]) -> u64 {
    let text = std::str::from_utf8(value).expect("clients write text");
    text.parse().expect("clients write numbers")
}

/// The time of the paused runtime, and what was added to it by hand.
#[derive(Debug)]
struct VirtualClock {
    start: Instant,
    added_ms: AtomicU64,
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or_default();
        let added_ms = self.added_ms.load(Ordering::Relaxed);
        Timestamp::from_millis(1_700_000_000_000 + ms + added_ms)
    }
}

/// A process: alive, or dead and waiting for its successor.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) dual: Arc<DualWriter>,
    pub(crate) life: Arc<Life>,
}

/// Two stores and all who use them.
pub(crate) struct World {
    pub(crate) legacy: Arc<Memory>,
    pub(crate) unified: Arc<Memory>,
    pub(crate) chance: Arc<Chance>,
    pub(crate) plan: Faults,
    pub(crate) histories: Histories,
    pub(crate) processes: Mutex<Vec<Process>>,
    /// Clients and operator are done.
    pub(crate) quiet: AtomicBool,
    mode: Mode,
    started: AtomicUsize,
    clock: Arc<VirtualClock>,
    operations: AtomicU64,
}

/// Makes a run by these choices.
///
/// # Errors
/// What was violated, by its name.
pub fn run(choices: Choices, size: Size) -> Result<Report, String> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    #[cfg(tokio_unstable)]
    builder.rng_seed(choices.order());
    let runtime = builder.build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        match timeout(RUN_BOUND, simulate(choices, size)).await {
            Ok(result) => result,
            Err(_) => Err("the run hangs".into()),
        }
    })
}

async fn simulate(choices: Choices, size: Size) -> Result<Report, String> {
    let world = Arc::new(World::new(choices));
    world.seed_legacy().await;
    for _ in 0..2 + world.chance.roll(2) {
        let process = world.start().await?;
        world.processes.lock().push(process);
    }
    world.chance.allow(size.faults);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let world = Arc::clone(&world);
        clients.push(tokio::spawn(async move {
            world.client(size.operations / CLIENTS).await
        }));
    }
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS {
        watchers.push(tokio::spawn(Arc::clone(&world).watcher()));
    }
    let operator = tokio::spawn(Arc::clone(&world).operator());
    for client in clients {
        client.await.map_err(|e| e.to_string())??;
    }
    operator.await.map_err(|e| e.to_string())?;
    world.quiet.store(true, Ordering::Relaxed);
    world.chance.allow(0);
    let mut seen = Vec::new();
    for watcher in watchers {
        seen.extend(watcher.await.map_err(|e| e.to_string())??);
    }
    world.finish(seen).await?;
    Ok(Report {
        operations: world.operations.load(Ordering::Relaxed),
        choices: world.chance.made(),
    })
}

impl World {
    fn new(mut choices: Choices) -> Self {
        let plan = match choices.roll(4) {
            0 => Faults::Pauses,
            1 => Faults::Outages,
            _ => Faults::Mixed,
        };
        let (mode, pause) = match plan {
            Faults::Mixed | Faults::Outages => (Mode::ALL[choices.roll(5)], LEASE * 3),
            Faults::Pauses => ([Mode::One, Mode::Three][choices.roll(2)], LEASE * 6),
        };
        Self {
            legacy: Arc::new(Memory::new()),
            unified: Arc::new(Memory::new()),
            chance: Arc::new(Chance::new(choices, plan, pause)),
            plan,
            histories: Histories::default(),
            processes: Mutex::default(),
            quiet: AtomicBool::new(false),
            mode,
            started: AtomicUsize::new(0),
            clock: Arc::new(VirtualClock {
                start: Instant::now(),
                added_ms: AtomicU64::new(0),
            }),
            operations: AtomicU64::new(0),
        }
    }

    /// Counts an operation.
    pub(crate) fn count(&self) {
        self.operations.fetch_add(1, Ordering::Relaxed);
    }

    /// Moves the clock of the records on, not the time that passes.
    pub(crate) fn skip(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or_default();
        self.clock.added_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Objects that were in legacy before anybody thought of a second store.
    async fn seed_legacy(&self) {
        for number in 0..KEYS {
            if self.mode <= Mode::Two && self.chance.roll(2) == 0 {
                let value = self.histories.fresh();
                let (request, call) = (write(None, Some(value)), self.histories.tick());
                self.histories.record(number, request, call, Answer::Set);
                let put = Transaction::put(key(number), Precondition::Absent, value.to_string());
                let made = self.legacy.commit_one(put).await;
                made.expect("memory takes a write");
            }
        }
    }

    /// Starts a process, however often it dies while it starts.
    pub(crate) async fn start(&self) -> Result<Process, String> {
        loop {
            let life = Arc::new(Life::default());
            let connect = |store: &Arc<Memory>| {
                Arc::new(Connection {
                    store: Arc::clone(store),
                    chance: Arc::clone(&self.chance),
                    life: Arc::clone(&life),
                })
            };
            let (legacy, unified) = (connect(&self.legacy), connect(&self.unified));
            let opening = DualWriter::open(legacy, unified, self.options());
            let opened = tokio::select! {
                biased;
                opened = timeout(START_BOUND, opening) => opened.ok(),
                () = life.ended() => None,
            };
            match opened {
                Some(Ok(dual)) => {
                    let dual = Arc::new(dual);
                    return Ok(Process { dual, life });
                }
                Some(Err(error)) if !error.is_retryable() && !error.is_indeterminate() => {
                    return Err(format!("a process does not start: {error:?}"));
                }
                Some(Err(_)) | None => {}
            }
        }
    }

    fn options(&self) -> Options {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        Options {
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            instance: InstanceId(number as u128 + 1),
            lease: LEASE,
            help_after: Duration::from_millis(20),
            patience: Duration::from_secs(1),
            ..Options::new(DualWriterConfig {
                data_sync_records_limit: 1,
                ..DualWriterConfig::everything(self.mode)
            })
        }
    }

    /// Picks a process; replaces it if it died.
    pub(crate) async fn pick(&self) -> Result<Process, String> {
        let (index, process) = {
            let processes = self.processes.lock();
            let index = self.chance.roll(processes.len());
            (index, processes[index].clone())
        };
        if !process.life.is_over() {
            return Ok(process);
        }
        let process = self.start().await?;
        self.processes.lock()[index] = process.clone();
        Ok(process)
    }
}
