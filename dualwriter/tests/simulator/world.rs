//! One run: processes on two stores, clients, an operator, faults; and what must hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use conformance::linearizability::{Answer, Operation, Request, Verdict, check};
use conformance::traffic::Dice;
use dualwriter::{DualWriter, DualWriterConfig, Forced, InstanceId, Kind, Mode, Options};
use parking_lot::Mutex;
use storage_core::{
    Clock, INTERNAL_GROUP, ListQuery, Memory, Order, Outcome, Precondition, ResourceKey, Revision,
    Scope, StorageBackend, StorageBackendExt, Timestamp, Transaction,
};
use tokio::time::{Instant, sleep, timeout};

use crate::store::{Chance, Connection};

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) operations: usize,
    pub(crate) faults: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            operations: 30,
            faults: 3,
        }
    }
}

const LEASE: Duration = Duration::from_millis(200);
const KEYS: usize = 2;
const CLIENTS: usize = 3;
/// How long unfinished writes may take to be settled once nothing fails any more.
const SETTLE_BOUND: Duration = Duration::from_secs(20);
/// Virtual time after which a run hangs.
const RUN_BOUND: Duration = Duration::from_secs(600);
const STATES_MAX: usize = 2_000_000;

fn key(number: usize) -> ResourceKey {
    ResourceKey::new("example.org", "things", "ns", format!("{number}")).unwrap()
}

fn kind() -> Kind {
    Kind::of(&key(0))
}

/// The time of the paused runtime.
#[derive(Debug)]
struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let ms = u64::try_from(self.0.elapsed().as_millis()).unwrap();
        Timestamp::from_millis(1_700_000_000_000 + ms)
    }
}

/// A process: alive, or dead and waiting for its successor.
struct Process {
    dual: Arc<DualWriter>,
    dead: Arc<AtomicBool>,
}

struct World {
    legacy: Arc<Memory>,
    unified: Arc<Memory>,
    chance: Arc<Chance>,
    mode: Mode,
    started: AtomicUsize,
    processes: Mutex<Vec<Process>>,
    epoch: Instant,
    now: AtomicU64,
    value: AtomicU64,
    histories: Mutex<BTreeMap<usize, Vec<Operation>>>,
}

/// Runs a seed; tells what was violated.
pub(crate) fn run(seed: u64, size: Size) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        match timeout(RUN_BOUND, simulate(seed, size)).await {
            Ok(result) => result,
            Err(_) => Err("the run hangs".into()),
        }
    })
}

async fn simulate(seed: u64, size: Size) -> Result<(), String> {
    let mut dice = Dice::new(seed.wrapping_add(1));
    // The first numbers of neighbouring seeds are alike.
    for _ in 0..8 {
        dice.roll(2);
    }
    let mode = Mode::ALL[dice.roll(5)];
    let processes = 2 + dice.roll(2);
    let world = Arc::new(World {
        legacy: Arc::new(Memory::new()),
        unified: Arc::new(Memory::new()),
        chance: Arc::new(Chance {
            dice: Mutex::new(dice),
            faults: AtomicUsize::new(0),
            pause: LEASE * 3,
        }),
        mode,
        started: AtomicUsize::new(0),
        processes: Mutex::default(),
        epoch: Instant::now(),
        now: AtomicU64::new(0),
        value: AtomicU64::new(1),
        histories: Mutex::default(),
    });
    world.seed_legacy().await;
    for _ in 0..processes {
        let process = world.start().await?;
        world.processes.lock().push(process);
    }
    world.chance.faults.store(size.faults, Ordering::Relaxed);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let world = Arc::clone(&world);
        clients.push(tokio::spawn(async move {
            world.client(size.operations / CLIENTS).await
        }));
    }
    let operator = tokio::spawn(Arc::clone(&world).operator());
    for client in clients {
        client.await.map_err(|e| e.to_string())??;
    }
    operator.await.map_err(|e| e.to_string())?;
    world.chance.faults.store(0, Ordering::Relaxed);
    world.finish().await
}

impl World {
    /// Objects that were in legacy before anybody thought of a second store.
    async fn seed_legacy(&self) {
        for number in 0..KEYS {
            if self.mode <= Mode::Two && self.chance.roll(2) == 0 {
                let value = self.fresh();
                self.record(number, write(None, Some(value)), self.tick(), Answer::Set);
                let put = Transaction::put(key(number), Precondition::Absent, value.to_string());
                self.legacy.commit_one(put).await.unwrap();
            }
        }
    }

    async fn start(&self) -> Result<Process, String> {
        let dead = Arc::new(AtomicBool::new(false));
        let connect = |store: &Arc<Memory>| {
            Arc::new(Connection {
                store: Arc::clone(store),
                chance: Arc::clone(&self.chance),
                dead: Arc::clone(&dead),
            })
        };
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let options = Options {
            clock: Arc::new(VirtualClock(self.epoch)),
            instance: InstanceId(number as u128 + 1),
            lease: LEASE,
            help_after: Duration::from_millis(20),
            patience: Duration::from_secs(1),
            ..Options::new(DualWriterConfig {
                data_sync_records_limit: 1,
                ..DualWriterConfig::everything(self.mode)
            })
        };
        loop {
            let (legacy, unified) = (connect(&self.legacy), connect(&self.unified));
            let opening = DualWriter::open(legacy, unified, options.clone());
            match timeout(Duration::from_secs(5), opening).await {
                Ok(Ok(dual)) => {
                    return Ok(Process {
                        dual: Arc::new(dual),
                        dead,
                    });
                }
                Ok(Err(error)) if !error.is_retryable() && !error.is_indeterminate() => {
                    return Err(format!("a process does not start: {error:?}"));
                }
                Ok(Err(_)) | Err(_) => dead.store(false, Ordering::Relaxed),
            }
        }
    }

    /// Picks a process; replaces it if it died.
    async fn pick(&self) -> Result<Arc<DualWriter>, String> {
        let (index, dead) = {
            let processes = self.processes.lock();
            let index = self.chance.roll(processes.len());
            (index, processes[index].dead.load(Ordering::Relaxed))
        };
        if dead {
            let process = self.start().await?;
            self.processes.lock()[index] = process;
        }
        Ok(Arc::clone(&self.processes.lock()[index].dual))
    }

    async fn client(&self, operations: usize) -> Result<(), String> {
        let mut newest = Revision::ZERO;
        for _ in 0..operations {
            sleep(Duration::from_millis(self.chance.roll(60) as u64)).await;
            let dual = self.pick().await?;
            let number = self.chance.roll(KEYS);
            // A crashed process does not answer; its clients go away after a while.
            match self.chance.roll(8) {
                0 | 1 => self.read(&dual, number).await,
                2 => self.list(&dual, &mut newest).await?,
                3 | 4 => self.create(&dual, number).await,
                5 | 6 => self.change(&dual, number, Change::Update).await,
                _ => self.change(&dual, number, Change::Delete).await,
            }
        }
        Ok(())
    }

    async fn read(&self, dual: &DualWriter, number: usize) {
        let call = self.tick();
        let key = key(number);
        let answer = timeout(CALL_BOUND, dual.get(&key, None)).await;
        if let Ok(Ok(stored)) = answer {
            let value = stored.map(|stored| parse(&stored.value));
            self.record(number, Request::Read, call, Answer::Value(value));
        }
    }

    async fn list(&self, dual: &DualWriter, newest: &mut Revision) -> Result<(), String> {
        let call = self.tick();
        let query = ListQuery::live(kind().scope());
        let Ok(Ok(page)) = timeout(CALL_BOUND, dual.list(&query)).await else {
            return Ok(());
        };
        for number in 0..KEYS {
            let item = page.items.iter().find(|item| item.key == key(number));
            let value = item.map(|item| parse(&item.value));
            self.record(number, Request::Read, call, Answer::Value(value));
        }
        if page.revision < *newest {
            let (now, before) = (page.revision, *newest);
            return Err(format!(
                "revisions step back: a list at {now} after one at {before}"
            ));
        }
        *newest = page.revision;
        Ok(())
    }

    async fn create(&self, dual: &DualWriter, number: usize) {
        let value = self.fresh();
        let put = Transaction::put(key(number), Precondition::Absent, value.to_string());
        self.write(dual, number, write(None, Some(value)), put)
            .await;
    }

    async fn change(&self, dual: &DualWriter, number: usize, change: Change) {
        let call = self.tick();
        let Ok(Ok(stored)) = timeout(CALL_BOUND, dual.get(&key(number), None)).await else {
            return;
        };
        let value = stored.as_ref().map(|stored| parse(&stored.value));
        self.record(number, Request::Read, call, Answer::Value(value));
        let Some(stored) = stored else {
            return;
        };
        if self.chance.roll(3) == 0 {
            sleep(Duration::from_millis(self.chance.roll(400) as u64)).await;
        }
        let at = Precondition::Revision(stored.revision);
        match change {
            Change::Update => {
                let new = self.fresh();
                let put = Transaction::put(key(number), at, new.to_string());
                self.write(dual, number, write(value, Some(new)), put).await;
            }
            Change::Delete => {
                let delete = Transaction::delete(key(number), at, "deleted");
                self.write(dual, number, write(value, None), delete).await;
            }
        }
    }

    async fn write(
        &self,
        dual: &DualWriter,
        number: usize,
        request: Request,
        transaction: Transaction,
    ) {
        let call = self.tick();
        let by_revision = matches!(
            transaction.writes[0].precondition,
            Precondition::Revision(_)
        );
        let answer = match timeout(CALL_BOUND, dual.commit_one(transaction)).await {
            Ok(Ok(Outcome::Committed { .. })) => Answer::Set,
            // The value may be the expected one, at another revision: the side changed.
            Ok(Ok(Outcome::Conflict(_))) if by_revision => Answer::Failed,
            Ok(Ok(Outcome::Conflict(_))) => Answer::Refused,
            Ok(Err(error)) if error.is_indeterminate() => Answer::Unknown,
            Ok(Err(_)) => Answer::Failed,
            Err(_) => Answer::Unknown,
        };
        self.record(number, request, call, answer);
    }

    /// Changes modes and syncs, as an operator does who is in a hurry.
    async fn operator(self: Arc<Self>) {
        for _ in 0..8 {
            sleep(Duration::from_millis(self.chance.roll(60) as u64)).await;
            let Ok(dual) = self.pick().await else {
                continue;
            };
            let bound = Duration::from_secs(5);
            if self.chance.roll(2) == 0 {
                let _ = timeout(bound, dual.sync(&kind(), &mut |_| {})).await;
                // Most often what the sync was for.
                let to = match self.chance.roll(4) {
                    0 => continue,
                    1 => Mode::Two,
                    2 => Mode::Three,
                    _ => Mode::Four,
                };
                let _ = timeout(bound, dual.set_mode(&kind(), to, Forced::No)).await;
                continue;
            }
            let Ok(Ok(status)) = timeout(bound, dual.status(&kind())).await else {
                continue;
            };
            let to = match self.chance.roll(5) {
                0 | 1 => (status.mode + 1).min(4),
                2 => status.mode.saturating_sub(1),
                3 => 4,
                _ => u8::try_from(self.chance.roll(5)).unwrap(),
            };
            let to = Mode::from_number(to).unwrap();
            let _ = timeout(bound, dual.set_mode(&kind(), to, Forced::No)).await;
        }
    }

    /// Lets everything come to rest, and checks what must hold then.
    async fn finish(&self) -> Result<(), String> {
        let dual = self.start().await?.dual;
        let settled = timeout(SETTLE_BOUND, self.rest(&dual)).await;
        if settled.is_err() {
            return Err("D3: unfinished work is not settled within its bound".into());
        }
        let mode = dual
            .status(&kind())
            .await
            .map_err(|e| format!("{e:?}"))?
            .mode;
        let mode = Mode::from_number(mode).unwrap();
        self.last_reads(&dual).await?;
        if matches!(mode, Mode::Two | Mode::Three) {
            self.become_equal(&dual).await?;
            self.last_reads(&dual).await?;
        }
        self.check_history(&dual).await?;
        let histories = self.histories.lock().clone();
        for (number, history) in histories {
            match check(None, &history, STATES_MAX) {
                Verdict::Linearizable | Verdict::Undecided => {}
                Verdict::Illegal(_) => {
                    let text: Vec<String> = history.iter().map(|o| format!("{o:?}")).collect();
                    let text = text.join("\n  ");
                    return Err(format!(
                        "D1 to D7: the history of object {number} is illegal in mode {mode}:\n  {text}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Waits until no change of mode and no unfinished write is left.
    async fn rest(&self, dual: &DualWriter) {
        loop {
            if let Ok(status) = dual.status(&kind()).await {
                if let Some(to) = status.changing_to {
                    let to = Mode::from_number(to).unwrap();
                    let _ = dual.set_mode(&kind(), to, Forced::No).await;
                } else if self.intents().await == 0 && status.queued == 0 {
                    return;
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn intents(&self) -> usize {
        let internal = ListQuery::live(Scope::resource(INTERNAL_GROUP, "dual.intent"));
        self.unified.list(&internal).await.unwrap().items.len()
    }

    async fn last_reads(&self, dual: &DualWriter) -> Result<(), String> {
        for number in 0..KEYS {
            let call = self.tick();
            let got = dual
                .get(&key(number), None)
                .await
                .map_err(|e| format!("{e:?}"))?;
            let got = got.map(|stored| parse(&stored.value));
            self.record(number, Request::Read, call, Answer::Value(got));
            let query = ListQuery::live(Scope::Object(key(number)));
            let listed = dual.list(&query).await.map_err(|e| format!("{e:?}"))?;
            let listed = listed.items.first().map(|item| parse(&item.value));
            if got != listed {
                return Err(format!("D6: get says {got:?}, list says {listed:?}"));
            }
        }
        Ok(())
    }

    async fn become_equal(&self, dual: &DualWriter) -> Result<(), String> {
        for _ in 0..5 {
            let report = dual.sync(&kind(), &mut |_| {}).await;
            if report.is_ok_and(|report| report.complete) {
                return self.are_equal().await;
            }
            // Another process held the lease when it died.
            sleep(Duration::from_secs(70)).await;
        }
        Err("D9: a sync is never complete although nothing fails".into())
    }

    /// D8: both stores have the same.
    async fn are_equal(&self) -> Result<(), String> {
        for number in 0..KEYS {
            let legacy = self.legacy.get(&key(number), None).await.unwrap();
            let unified = self.unified.get(&key(number), None).await.unwrap();
            let value = |s: Option<storage_core::Stored>| s.map(|s| s.value);
            let (legacy, unified) = (value(legacy), value(unified));
            if legacy != unified {
                return Err(format!("D8: legacy {legacy:?}, unified {unified:?}"));
            }
        }
        Ok(())
    }

    /// D18: no value is in a store's history twice.
    async fn check_history(&self, dual: &DualWriter) -> Result<(), String> {
        let query = ListQuery::history(kind().scope(), Order::Ascending);
        let history = dual.list(&query).await.map_err(|e| format!("{e:?}"))?;
        let mut seen = BTreeMap::new();
        for item in &history.items {
            if item.kind == storage_core::ChangeKind::Deleted {
                continue;
            }
            let value = parse(&item.value);
            if let Some(before) = seen.insert(value, item.revision) {
                let again = item.revision;
                return Err(format!(
                    "D18: value {value} was written at {before} and {again}"
                ));
            }
        }
        Ok(())
    }

    fn fresh(&self) -> u64 {
        self.value.fetch_add(1, Ordering::Relaxed)
    }

    fn tick(&self) -> u64 {
        self.now.fetch_add(1, Ordering::Relaxed)
    }

    fn record(&self, number: usize, request: Request, call: u64, answer: Answer) {
        let operation = Operation {
            call,
            answered: self.tick(),
            request,
            answer,
        };
        self.histories
            .lock()
            .entry(number)
            .or_default()
            .push(operation);
    }
}

/// How long a client waits for an answer.
const CALL_BOUND: Duration = Duration::from_secs(4);

#[derive(Clone, Copy)]
enum Change {
    Update,
    Delete,
}

fn write(expected: Option<u64>, new: Option<u64>) -> Request {
    Request::CompareAndSet { expected, new }
}

fn parse(value: &[u8]) -> u64 {
    std::str::from_utf8(value).unwrap().parse().unwrap()
}
