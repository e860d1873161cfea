//! `kill -9` of a serving process while clients write: what was acknowledged is there, what was not
//! answered is there whole or not at all, and the next start needs nobody's help.

use std::sync::Arc;
use std::time::Duration;

use conformance::traffic::Dice;
use tokio::time::Instant;

use crate::actor::{Actors, Cast};
use crate::ending::{Watchers, stop_and_explain};
use crate::process::Process;
use crate::record::Record;
use crate::rounds::{alone, number};
use crate::support::stores::{Store, engines};

const CLIENTS: usize = 8;
const OBJECTS: usize = 24;
/// How often it is killed, unless `UNISTORE_TEST_KILL_ROUNDS` says otherwise.
const ROUNDS: usize = 5;
/// Most writes that are acknowledged between two kills.
const WRITES_MAX: usize = 80;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_on_every_engine() {
    let _alone = alone().await;
    for engine in engines() {
        killed_while_it_is_written_to(&engine).await;
    }
}

async fn killed_while_it_is_written_to(engine: &str) {
    let store = Store::new(engine);
    let keep_all = ["--history-per-object", "unlimited"];
    let process = Arc::new(Process::start(&store.url, &keep_all));
    let processes = [Arc::clone(&process)];
    let record = Arc::new(Record::default());
    let watchers = Watchers::start(&processes);
    let rounds = number("UNISTORE_TEST_KILL_ROUNDS", ROUNDS);
    let mut dice = Dice::new(rounds as u64);
    let mut starts = Vec::new();
    let started = Instant::now();
    for round in 0..rounds {
        // Objects of their own each round: what may have happened in many rounds takes long to
        // explain.
        let cast = Cast {
            actors: CLIENTS,
            objects: OBJECTS,
            prefix: format!("round-{round}-"),
            seed: round as u64,
        };
        let actors = Actors::start(&cast, &processes, &record).await;
        record.progress(1 + dice.roll(WRITES_MAX)).await;
        process.kill();
        let start = Instant::now();
        process.start_again();
        starts.push(start.elapsed());
        record.progress(CLIENTS).await;
        actors.stop().await;
    }
    let seen = watchers.end(&record).await;
    let took = started.elapsed();
    stop_and_explain(&processes, &store.url, &record, &seen).await;
    let slowest = starts.iter().max().unwrap_or(&Duration::ZERO);
    println!(
        "{engine}: {rounds} kills in {took:.1?}; {}; slowest start {slowest:.1?}",
        record.summary()
    );
}
