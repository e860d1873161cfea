//! Two handles on one database share nothing in this process, as two processes would.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use parking_lot::Mutex;
use storage_core::{
    Change, ChangesQuery, Precondition, ResourceKey, Revision, Scope, StorageBackend,
    StorageBackendExt, Transaction,
};
use tokio::time::{Instant, timeout};

use crate::engines::{key, on_each_server, open};
use crate::stores::Store;

const WRITERS: u64 = 8;
const KEYS: u64 = 50;
/// How long they write; `UNISTORE_TEST_RACE_SECONDS` sets another time.
const RACE: Duration = Duration::from_secs(4);
/// They go on until there are as many commits, however slow the machine is.
const COMMITS_MIN: usize = 200;
/// A watcher that has not seen everything by then never will.
const PATIENCE: Duration = Duration::from_secs(60);

on_each_server! {
    two_processes_race
    a_watcher_of_an_idle_store_hears_of_a_commit
}

/// What the writers of both processes know together.
#[derive(Default)]
struct Race {
    /// Every update that won, by the object and the revision that it replaced.
    winners: Mutex<HashSet<(ResourceKey, Option<Revision>)>>,
    /// When each revision was acknowledged.
    acknowledged: Mutex<BTreeMap<Revision, Instant>>,
    /// The highest revision that was acknowledged.
    highest: AtomicU64,
    conflicts: AtomicU64,
}

async fn two_processes_race<S: Store>(store: Arc<S>) {
    let handles = [open(&*store).await, open(&*store).await];
    let race = Arc::new(Race::default());
    let stop_at = Instant::now() + duration();
    let mut writers = Vec::new();
    for (process, handle) in handles.iter().enumerate() {
        for number in 0..WRITERS {
            let seed = process as u64 * WRITERS + number;
            let (handle, race) = (Arc::clone(handle), Arc::clone(&race));
            writers.push(tokio::spawn(write(handle, race, stop_at, seed)));
        }
    }
    let (ended, end) = tokio::sync::watch::channel(None);
    let watchers = handles.each_ref().map(|handle| {
        let (handle, end) = (Arc::clone(handle), end.clone());
        tokio::spawn(async move { timeout(PATIENCE, watch(&*handle, end)).await.unwrap() })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    ended
        .send(race.acknowledged.lock().keys().next_back().copied())
        .unwrap();
    let seen: Vec<_> = join_all(watchers)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    check(&race, &seen);
    report(handles[0].info().engine, &race, &seen);
}

fn duration() -> Duration {
    let seconds = std::env::var("UNISTORE_TEST_RACE_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok());
    seconds.map_or(RACE, Duration::from_secs)
}

/// Updates objects that all other writers update too, from the revision it read.
async fn write(handle: Arc<dyn StorageBackend>, race: Arc<Race>, stop_at: Instant, seed: u64) {
    let mut chance = seed;
    while Instant::now() < stop_at || race.acknowledged.lock().len() < COMMITS_MIN {
        chance = chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(seed * 2 + 1);
        let key = key("race", &format!("{:02}", (chance >> 33) % KEYS));
        let current = handle
            .get(&key, None)
            .await
            .unwrap()
            .map(|stored| stored.revision);
        let precondition = current.map_or(Precondition::Absent, Precondition::Revision);
        let before = race.highest.load(Ordering::SeqCst);
        let put = Transaction::put(key.clone(), precondition, seed.to_string());
        let outcome = handle.commit_one(put).await.unwrap();
        let Some(revision) = outcome.revision() else {
            race.conflicts.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        // Commit order: what was acknowledged before this one began is lower.
        assert!(
            revision.get() > before,
            "{revision} after {before} was acknowledged"
        );
        race.highest.fetch_max(revision.get(), Ordering::SeqCst);
        let twice = race.acknowledged.lock().insert(revision, Instant::now());
        assert!(twice.is_none(), "{revision} was given twice");
        let is_first = race.winners.lock().insert((key.clone(), current));
        assert!(is_first, "two winners for {key} at {current:?}");
    }
}

/// Follows the changes of one process until it is told where they end.
async fn watch(
    handle: &dyn StorageBackend,
    mut end: tokio::sync::watch::Receiver<Option<Revision>>,
) -> Vec<(Arc<Change>, Instant)> {
    let mut head = handle.head();
    let mut seen = Vec::new();
    let mut through = Revision::ZERO;
    loop {
        let query = ChangesQuery::new(Scope::All, through);
        let changes = handle.changes(&query).await.unwrap();
        let now = Instant::now();
        seen.extend(changes.changes.into_iter().map(|change| (change, now)));
        through = changes.through;
        let last = *end.borrow_and_update();
        if last.is_some_and(|last| through >= last) {
            return seen;
        }
        tokio::select! {
            moved = head.wait_for(|head| *head > through) => drop(moved.unwrap()),
            ended = end.changed() => ended.unwrap(),
        }
    }
}

fn check(race: &Race, seen: &[Vec<(Arc<Change>, Instant)>]) {
    let acknowledged: Vec<Revision> = race.acknowledged.lock().keys().copied().collect();
    for seen in seen {
        let revisions: Vec<Revision> = seen
            .iter()
            .map(|(change, _)| change.object.revision)
            .collect();
        assert_eq!(revisions, acknowledged, "each change once and in order");
        let mut current = BTreeMap::new();
        for (change, _) in seen {
            let before = current.insert(change.object.key.clone(), change.object.revision);
            let previous = change.previous.as_ref().map(|previous| previous.revision);
            assert_eq!(previous, before, "{:?}", change.object.key);
        }
    }
}

/// Prints how long after its acknowledgement a change was delivered in the two processes.
fn report(engine: &str, race: &Race, seen: &[Vec<(Arc<Change>, Instant)>]) {
    let acknowledged = race.acknowledged.lock();
    let mut delays: Vec<Duration> = seen
        .iter()
        .flatten()
        .map(|(change, at)| at.saturating_duration_since(acknowledged[&change.object.revision]))
        .collect();
    delays.sort();
    let percentile = |percent: usize| delays[(delays.len() - 1) * percent / 100];
    println!(
        "{engine}: {} commits and {} conflicts in {:?}; commit to delivery p50 {:?} p99 {:?}",
        acknowledged.len(),
        race.conflicts.load(Ordering::Relaxed),
        duration(),
        percentile(50),
        percentile(99),
    );
}

async fn a_watcher_of_an_idle_store_hears_of_a_commit<S: Store>(store: Arc<S>) {
    let [writer, watcher] = [open(&*store).await, open(&*store).await];
    let mut head = watcher.head();
    // Long enough that a poll for changes is as rare as it gets.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let revision = writer.create(key("", "a"), "1".into()).await.unwrap();
    let committed = Instant::now();
    let heard = timeout(PATIENCE, head.wait_for(|head| *head >= revision));
    heard.await.unwrap().unwrap();
    let delay = committed.elapsed();
    println!("{}: idle, commit to head {delay:?}", writer.info().engine);
    assert!(delay < Duration::from_secs(5), "{delay:?}");
}
