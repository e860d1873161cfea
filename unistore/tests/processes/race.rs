//! Two server processes on one database: eight clients of each write the same fifty objects, and a
//! watcher of each sees every change of both.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::actor::{Actors, Cast, write};
use crate::explain::{History, unexplained};
use crate::follow::{Segment, follow};
use crate::process::Process;
use crate::record::{Ask, Attempt, Record, Told};
use crate::rounds::{PATIENCE, alone, number};
use crate::support::stores::{Store, engines};
use crate::unseen::unseen;

const WRITERS_PER_PROCESS: usize = 8;
const OBJECTS: usize = 50;
/// How long they write, unless `UNISTORE_TEST_RACE_SECONDS` says otherwise.
const RACE_SECONDS: usize = 4;
/// They go on until there are as many writes, however slow the machine is.
const WRITES_MIN: usize = 100;
/// The object that ends the watches.
const LAST: &str = "the-last";

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_write_one_database() {
    let _alone = alone().await;
    let shared = ["postgres", "mysql"];
    for engine in engines().iter().filter(|e| shared.contains(&e.as_str())) {
        race(engine).await;
    }
}

async fn race(engine: &str) {
    let store = Store::new(engine);
    let keep_all = ["--history-per-object", "unlimited"];
    let processes = [(); 2].map(|()| Arc::new(Process::start(&store.url, &keep_all)));
    let record = Arc::new(Record::default());
    let watchers = processes
        .clone()
        .map(|process| tokio::spawn(follow(process, LAST.to_owned())));
    let cast = Cast {
        actors: WRITERS_PER_PROCESS * processes.len(),
        objects: OBJECTS,
        prefix: "raced-".to_owned(),
        seed: 1,
    };
    let seconds = number("UNISTORE_TEST_RACE_SECONDS", RACE_SECONDS);
    let started = Instant::now();
    let actors = Actors::start(&cast, &processes, &record).await;
    record.progress(WRITES_MIN).await;
    tokio::time::sleep_until(started + Duration::from_secs(seconds as u64)).await;
    actors.stop().await;
    let took = started.elapsed();
    let create = Ask::Create(record.marker());
    let api = processes[0].playlists().await;
    let last = write(&record, &api, 0, LAST, create).await;
    assert!(matches!(last, Told::Done(_)), "{last:?}");
    let mut seen = Vec::new();
    for watcher in watchers {
        seen.push(timeout(PATIENCE, watcher).await.unwrap().unwrap());
    }
    for process in &processes {
        process.stop();
    }
    let attempts = record.attempts();
    let history = History::read(&store.url).await;
    let mut wrong = unexplained(&attempts, &[&history], &[]);
    for segments in &seen {
        wrong.extend(unseen(segments, &[&history]));
        // Nothing happened that would make a watcher list again.
        assert_eq!(segments.len(), 1);
    }
    assert!(wrong.is_empty(), "on {engine}: {wrong:#?}");
    println!(
        "{engine}: {} in {took:.1?}; {}",
        record.summary(),
        delays(&attempts, &seen)
    );
}

/// How long after its acknowledgement by one process a change reached the watcher of the other.
fn delays(attempts: &[Attempt], seen: &[Vec<Segment>]) -> String {
    let mut arrived = HashMap::new();
    for (process, segments) in seen.iter().enumerate() {
        for event in segments.iter().flat_map(|segment| &segment.events) {
            arrived.insert((process, event.version), event.at);
        }
    }
    let mut delays: Vec<Duration> = attempts
        .iter()
        .filter_map(|attempt| {
            let Told::Done(Some(version)) = attempt.told else {
                return None;
            };
            let at = arrived.get(&(1 - attempt.process, version))?;
            Some(at.saturating_duration_since(attempt.answered_at))
        })
        .collect();
    delays.sort();
    let percentile = |percent: usize| delays[(delays.len() - 1) * percent / 100];
    format!(
        "answer in one process to event in the other p50 {:.1?}, p99 {:.1?}, max {:.1?}, of {}",
        percentile(50),
        percentile(99),
        percentile(100),
        delays.len()
    )
}
