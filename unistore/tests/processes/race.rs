//! Two server processes on one database: eight clients of each write the same fifty objects, and a
//! watcher of each sees every change of both.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::actor::{Actors, Cast};
use crate::ending::{Watchers, stop_and_explain};
use crate::follow::Segment;
use crate::process::Process;
use crate::record::{Attempt, Record, Told};
use crate::rounds::{alone, number};
use crate::support::stores::{Store, engines};

const WRITERS_PER_PROCESS: usize = 8;
const OBJECTS: usize = 50;
/// How long they write, unless `UNISTORE_TEST_RACE_SECONDS` says otherwise.
const RACE_SECONDS: usize = 4;
/// They go on until there are as many writes, however slow the machine is.
const WRITES_MIN: usize = 100;

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
    let watchers = Watchers::start(&processes);
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
    let seen = watchers.end(&record).await;
    stop_and_explain(&processes, &store.url, &record, &seen).await;
    // Nothing happened that would make a watcher list again.
    assert!(seen.iter().all(|segments| segments.len() == 1));
    println!(
        "{engine}: {} in {took:.1?}; {}",
        record.summary(),
        delays(&record.attempts(), &seen)
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
