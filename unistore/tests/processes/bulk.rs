//! The sync of many objects into an embedded store, in a server that is killed three times and goes
//! on each time, while clients write.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use storage_core::limits::TRANSACTIONS_PER_COMMIT_MAX;
use storage_core::{OperationId, Precondition, StorageBackend, Transaction};
use tokio::time::{Instant, sleep, timeout};

use crate::actor::{Actors, Cast, write};
use crate::explain::{History, unexplained};
use crate::process::{BACKOFF, Process};
use crate::record::{Ask, Marker, Record, Told, key};
use crate::rounds::{alone, number};
use crate::support::server::succeed;
use crate::support::stores::Store;

const CLIENTS: usize = 4;
const WRITTEN: usize = 32;
/// How many objects are synced, unless `UNISTORE_TEST_SYNC_OBJECTS` says otherwise.
const OBJECTS: usize = 4_000;
/// The server is killed when these parts of a hundred are done; in a small sync only once, because
/// the next process waits each time for the right to go on.
const KILLED_AT: [usize; 3] = [45, 20, 70];
/// How long the whole sync may take.
const PATIENCE: Duration = Duration::from_secs(1_200);
/// What a name of the many begins with.
const MANY: &str = "many-";
/// The most memory that the server may take, whatever the number of objects.
const MEMORY_MAX_KB: u64 = 400 * 1024;

const CONFIG: &str = "\
[unified_storage]
data_sync_interval = 1s
[unified_storage.playlists.playlist.grafana.app]
dualWriterMode = 2
";

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_of_many_objects_survives_kills() {
    let _alone = alone().await;
    let objects = number("UNISTORE_TEST_SYNC_OBJECTS", OBJECTS);
    let (legacy, unified) = (Store::new("sqlite"), Store::new("redb"));
    fill(&legacy, objects).await;
    let config = legacy.folder.path().join("config.ini");
    std::fs::write(&config, CONFIG).unwrap();
    let arguments = [
        "--legacy",
        &legacy.url,
        "--config",
        config.to_str().unwrap(),
        "--history-per-object",
        "unlimited",
    ];
    let started = Instant::now();
    let process = Arc::new(Process::start(&unified.url, &arguments));
    let processes = [Arc::clone(&process)];
    let record = Arc::new(Record::default());
    let cast = Cast {
        actors: CLIENTS,
        objects: WRITTEN,
        prefix: "written-".to_owned(),
        seed: 1,
    };
    let actors = Actors::start(&cast, &processes, &record).await;
    let mut sync = Sync {
        api: process.resources(&migrations()).await,
        process: &process,
        memory_kb: 0,
        stretches: Vec::new(),
    };
    let kills = if objects > OBJECTS { 3 } else { 1 };
    let mut percents = KILLED_AT[..kills].to_vec();
    percents.sort_unstable();
    for percent in percents {
        sync.until((objects * percent / 100) as u64).await;
        process.kill();
        process.start_again();
    }
    sync.until(u64::MAX).await;
    record.progress(CLIENTS).await;
    actors.stop().await;
    let took = started.elapsed();
    process.stop();
    let both = ["--legacy", &legacy.url, "--store", &unified.url];
    let verify = [
        ["migrate", "verify", "playlists", "-o", "json"].as_slice(),
        &both,
    ]
    .concat();
    let verified: serde_json::Value = serde_json::from_str(&succeed(&verify)).unwrap();
    assert_eq!(verified["differences"], serde_json::json!([]));
    assert!(verified["compared"].as_u64().unwrap() >= objects as u64);
    let histories = [
        History::read(&legacy.url).await.of(&cast.prefix),
        History::read(&unified.url).await.of(&cast.prefix),
    ];
    let wrong = unexplained(&record.attempts(), &histories.each_ref(), &[]);
    assert!(wrong.is_empty(), "{wrong:#?}");
    println!(
        "{objects} objects: {took:.1?} with {kills} kills and restarts; while it ran {}; at most {} \
         MiB; verify compared {}; meanwhile {}",
        sync.speed(),
        sync.memory_kb / 1024,
        verified["compared"],
        record.summary(),
    );
    assert!(sync.memory_kb < MEMORY_MAX_KB, "{} KiB", sync.memory_kb);
}

/// Puts playlists into the store, as a server would have.
async fn fill(store: &Store, objects: usize) {
    let value = a_stored_playlist(store).await;
    let store = unistore::registry::open(&store.url.parse().unwrap())
        .await
        .unwrap();
    let numbers: Vec<usize> = (0..objects).collect();
    for numbers in numbers.chunks(TRANSACTIONS_PER_COMMIT_MAX) {
        let puts = numbers.iter().map(|number| {
            let name = format!("{MANY}{number:07}");
            let value = value.replace(&format!("{MANY}0"), &name);
            let put = Transaction::put(key(&name), Precondition::Absent, value);
            put.operation(OperationId(*number as u128 + 1))
        });
        let outcomes = store.commit(puts.collect()).await.unwrap();
        assert!(outcomes.iter().all(|outcome| outcome.revision().is_some()));
    }
}

/// Lets a server store one, and takes it out of the store again.
async fn a_stored_playlist(store: &Store) -> String {
    let name = format!("{MANY}0");
    let process = Process::start(&store.url, &[]);
    let api = process.playlists().await;
    let told = write(&Record::default(), &api, 0, &name, Ask::Create(Marker::MAX)).await;
    assert!(matches!(told, Told::Done(_)), "{told:?}");
    process.stop();
    let store = unistore::registry::open(&store.url.parse().unwrap())
        .await
        .unwrap();
    let stored = store.get(&key(&name), None).await.unwrap().unwrap();
    let delete = Transaction::delete(key(&name), Precondition::Any, stored.value.clone());
    store.commit(vec![delete]).await.unwrap();
    String::from_utf8(stored.value.to_vec()).unwrap()
}

fn migrations() -> ApiResource {
    let kind = GroupVersionKind::gvk("unistore.dev", "v1alpha1", "StorageMigration");
    ApiResource::from_gvk_with_plural(&kind, "storagemigrations")
}

/// Follows the sync by what the server says of it.
struct Sync<'a> {
    api: Api<DynamicObject>,
    process: &'a Process,
    /// The most memory that a process took.
    memory_kb: u64,
    /// Objects and time between the first and the last sign of progress of each process.
    stretches: Vec<(u64, Duration)>,
}

impl Sync<'_> {
    /// Waits until so many objects were compared in the pass, or the sync is complete.
    async fn until(&mut self, objects: u64) {
        let work = timeout(PATIENCE, self.reach(objects)).await;
        self.stretches.push(work.expect("the sync goes on"));
        self.memory_kb = self.memory_kb.max(peak_kb(self.process.pid()));
    }

    async fn reach(&self, objects: u64) -> (u64, Duration) {
        let mut first = None;
        let mut newest = None;
        loop {
            let status = self.status().await;
            let now = Instant::now();
            if let Some(compared) = status["compared"].as_u64() {
                let before = newest.map(|(before, _)| before);
                // A lower number is of another pass, which finds next to nothing to do.
                if before.is_none_or(|before| compared > before) {
                    newest = Some((compared, now));
                }
                // What is there at first was done before: the process waits for the right to go on.
                if before.is_some_and(|before| compared > before) {
                    first = first.or(newest);
                }
            }
            let reached = newest.is_some_and(|(compared, _)| compared >= objects);
            if reached || status["synced"] == true {
                let (from, to) = (first.or(newest), newest);
                let (from, to) = from.zip(to).unwrap_or(((0, now), (0, now)));
                return (to.0 - from.0, to.1 - from.1);
            }
            sleep(BACKOFF).await;
        }
    }

    async fn status(&self) -> serde_json::Value {
        let name = "playlists.playlist.grafana.app";
        loop {
            match self.api.get(name).await {
                Ok(object) => return object.data["status"].clone(),
                // Not an answer: the connection was to the process that was killed.
                Err(error) if !matches!(error, kube::Error::Api(_)) => sleep(BACKOFF).await,
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    fn speed(&self) -> String {
        let objects: u64 = self.stretches.iter().map(|(objects, _)| objects).sum();
        let time: Duration = self.stretches.iter().map(|(_, time)| *time).sum();
        let per_second = objects as f64 / time.as_secs_f64().max(0.001);
        format!("{per_second:.0} objects per second")
    }
}

/// Returns the most memory that a process ever held.
fn peak_kb(pid: u32) -> u64 {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(Path::new(&path)).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.unwrap().parse().unwrap()
}
