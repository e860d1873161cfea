//! `kill -9` of a serving process while clients write: what was acknowledged is there, what was not
//! answered is there whole or not at all, and the next start needs nobody's help.

use std::sync::Arc;
use std::time::Duration;

use conformance::traffic::Dice;
use tokio::time::{Instant, timeout};

use crate::actor::{Actors, Cast, write};
use crate::explain::{History, unexplained};
use crate::follow::follow;
use crate::process::Process;
use crate::record::{Ask, Record, Told};
use crate::rounds::{PATIENCE, alone, number};
use crate::support::server::succeed;
use crate::support::stores::{Store, engines};
use crate::unseen::unseen;

const CLIENTS: usize = 8;
const OBJECTS: usize = 24;
/// How often it is killed, unless `UNISTORE_TEST_KILL_ROUNDS` says otherwise.
const ROUNDS: usize = 5;
/// Most writes that are acknowledged between two kills.
const WRITES_MAX: usize = 80;
/// The object that ends the watch.
const LAST: &str = "the-last";

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
    let watcher = tokio::spawn(follow(Arc::clone(&process), LAST.to_owned()));
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
    let api = process.playlists().await;
    let create = Ask::Create(record.marker());
    let last = write(&record, &api, 0, LAST, create).await;
    assert!(matches!(last, Told::Done(_)), "{last:?}");
    let seen = timeout(PATIENCE, watcher).await.unwrap().unwrap();
    process.stop();
    let took = started.elapsed();
    succeed(&["check", "--store", &store.url]);
    let history = History::read(&store.url).await;
    let mut wrong = unexplained(&record.attempts(), &[&history], &[]);
    wrong.extend(unseen(&seen, &[&history]));
    assert!(wrong.is_empty(), "on {engine}: {wrong:#?}");
    let slowest = starts.iter().max().unwrap_or(&Duration::ZERO);
    println!(
        "{engine}: {rounds} kills in {took:.1?}; {}; slowest start {slowest:.1?}",
        record.summary()
    );
}
