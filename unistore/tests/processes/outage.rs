//! The database is stopped at once while clients write to a server, which stays: they are told so,
//! and it goes on by itself when the database is back.

use std::sync::Arc;

use tokio::time::Instant;

use crate::actor::{Actors, Cast};
use crate::ending::{Watchers, stop_and_explain};
use crate::process::Process;
use crate::record::Record;
use crate::rounds::{alone, number};
use crate::servers::{Kind, OwnServer};

const CLIENTS: usize = 8;
const OBJECTS: usize = 24;
/// How often it is stopped, unless `UNISTORE_TEST_OUTAGE_ROUNDS` says otherwise.
const ROUNDS: usize = 2;
/// In one of so many rounds it stays away until the clients were told so.
const AWAY_EVERY: usize = 2;
/// Writes that are acknowledged between two outages.
const WRITES_PER_ROUND: usize = 40;

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_outlives_its_postgres() {
    stopped_while_it_is_written_to(Kind::Postgres).await;
}

#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_outlives_its_mysql() {
    stopped_while_it_is_written_to(Kind::Mysql).await;
}

async fn stopped_while_it_is_written_to(kind: Kind) {
    let _alone = alone().await;
    let mut database = OwnServer::start(kind, &[]).await;
    let keep_all = ["--history-per-object", "unlimited"];
    let process = Arc::new(Process::start(&database.url(), &keep_all));
    let processes = [Arc::clone(&process)];
    let record = Arc::new(Record::default());
    let watchers = Watchers::start(&processes);
    let rounds = number("UNISTORE_TEST_OUTAGE_ROUNDS", ROUNDS);
    let mut back_after = Vec::new();
    for round in 0..rounds {
        let cast = Cast {
            actors: CLIENTS,
            objects: OBJECTS,
            prefix: format!("round-{round}-"),
            seed: round as u64,
        };
        let actors = Actors::start(&cast, &processes, &record).await;
        record.progress(WRITES_PER_ROUND).await;
        database.stop_at_once();
        if round % AWAY_EVERY == 0 {
            record.failures(CLIENTS).await;
        }
        database.start_again().await;
        let is_up = Instant::now();
        record.progress(CLIENTS).await;
        back_after.push(is_up.elapsed());
        actors.stop().await;
    }
    let seen = watchers.end(&record).await;
    stop_and_explain(&processes, &database.url(), &record, &seen).await;
    back_after.sort();
    println!(
        "{kind:?}: {rounds} stops; {}; {CLIENTS} writes after it was up: median {:.1?}, longest \
         {:.1?}",
        record.summary(),
        back_after[back_after.len() / 2],
        back_after[back_after.len() - 1]
    );
    println!("{kind:?}: errors {:#?}", record.errors());
}
