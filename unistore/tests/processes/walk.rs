//! Two server processes over PostgreSQL and MariaDB walk through all modes of the dual writer, up
//! and back down, while clients write and in each step a process is killed.

use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use conformance::traffic::Dice;
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::actor::{Actors, Cast, read, write};
use crate::explain::{History, Switch, timeline, unexplained};
use crate::follow::{Segment, follow};
use crate::process::Process;
use crate::record::{Ask, Record, Told};
use crate::rounds::{PATIENCE, alone, number};
use crate::support::server::{succeed, unistore};
use crate::support::stores::Store;
use crate::unseen::unseen;

const CLIENTS: usize = 16;
const OBJECTS: usize = 32;
/// How often they walk, unless `UNISTORE_TEST_WALK_ROUNDS` says otherwise.
const ROUNDS: usize = 1;
/// Writes that are acknowledged before each step.
const WRITES_PER_STEP: usize = 24;
/// A process is killed within this time from the start of a step.
const KILL_WITHIN_MS: usize = 1_500;
/// In one of so many steps the operator's command is killed, too.
const COMMAND_KILLED_EVERY: usize = 4;
/// How long the operator waits after a failure that passes.
const OPERATOR_PAUSE: Duration = Duration::from_secs(1);

/// The order of a command and the mode that it leads to, if it changes it.
const STEPS: [(&[&str], Option<u8>); 16] = [
    (&["promote", "playlists", "--to", "1"], Some(1)),
    (&["promote", "playlists", "--to", "2"], Some(2)),
    (&["sync", "playlists"], None),
    (&["verify", "playlists"], None),
    (&["promote", "playlists", "--to", "3"], Some(3)),
    (&["verify", "playlists"], None),
    (&["promote", "playlists", "--to", "4"], Some(4)),
    (&["promote", "playlists", "--to", "5"], Some(5)),
    (&["rollback", "playlists", "--to", "4"], Some(4)),
    (&["sync", "playlists"], None),
    (&["rollback", "playlists", "--to", "3"], Some(3)),
    (&["verify", "playlists"], None),
    (&["rollback", "playlists", "--to", "2"], Some(2)),
    (&["verify", "playlists"], None),
    (&["rollback", "playlists", "--to", "1"], Some(1)),
    (&["rollback", "playlists", "--to", "0"], Some(0)),
];

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_walk_through_all_modes_and_back() {
    let _alone = alone().await;
    let (legacy, unified) = (Store::new("postgres"), Store::new("mysql"));
    let arguments = ["--legacy", &legacy.url, "--history-per-object", "unlimited"];
    let processes = [(); 2].map(|()| Arc::new(Process::start(&unified.url, &arguments)));
    for round in 0..number("UNISTORE_TEST_WALK_ROUNDS", ROUNDS) {
        let mut walk = Walk {
            legacy: legacy.url.clone(),
            unified: unified.url.clone(),
            processes: processes.clone(),
            record: Arc::default(),
            dice: Dice::new(round as u64),
            commands: 0,
            kills: 0,
        };
        walk.round(round).await;
    }
    for process in &processes {
        process.stop();
    }
    for store in [&legacy, &unified] {
        succeed(&["check", "--store", &store.url]);
    }
}

struct Walk {
    legacy: String,
    unified: String,
    processes: [Arc<Process>; 2],
    record: Arc<Record>,
    dice: Dice,
    /// Commands that it took.
    commands: usize,
    kills: usize,
}

impl Walk {
    async fn round(&mut self, round: usize) {
        let started = Instant::now();
        let cast = Cast {
            actors: CLIENTS,
            objects: OBJECTS,
            prefix: format!("walk-{round}-"),
            seed: round as u64,
        };
        let last = format!("{}last", cast.prefix);
        let watch = |process| tokio::spawn(follow(process, last.clone()));
        let watchers = self.processes.clone().map(watch);
        let actors = Actors::start(&cast, &self.processes, &self.record).await;
        let mut switches = Vec::new();
        let mut mode = 0;
        for (order, to) in STEPS {
            let begun = self.record.tick();
            self.record.progress(WRITES_PER_STEP).await;
            self.step(order).await;
            let to = to.unwrap_or(mode);
            // From mode 3 on clients see the revisions of the other store.
            if (mode < 3) != (to < 3) {
                switches.push(Switch::new(begun, self.record.tick()));
            }
            mode = to;
        }
        self.record.progress(WRITES_PER_STEP).await;
        actors.stop().await;
        self.look_at_all(&cast, &last).await;
        let mut seen = Vec::new();
        for watcher in watchers {
            seen.push(timeout(PATIENCE, watcher).await.unwrap().unwrap());
        }
        self.check(round, &cast, &switches, &seen).await;
        println!(
            "round {round}: {} kills, {} commands in {:.0?}; {}; segments of the watches {:?}",
            self.kills,
            self.commands,
            started.elapsed(),
            self.record.summary(),
            seen.iter().map(Vec::len).collect::<Vec<_>>(),
        );
    }

    /// Gives an order until it is done. Whatever changes something is disturbed by a kill.
    async fn step(&mut self, order: &[&str]) {
        let mut command = self.order(order);
        if order[0] != "verify" {
            self.kill_a_process().await;
            if self.dice.roll(COMMAND_KILLED_EVERY) == 0 {
                command.abort();
                command = self.order(order);
            }
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let output = timeout(PATIENCE, command).await;
            let output = output.unwrap_or_else(|_| panic!("{order:?} does not end"));
            let output = output.unwrap();
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8(text).unwrap();
            match output.status.code() {
                Some(0) => return,
                // A sync is undone by a write that could not reach both stores.
                Some(1) if text.contains("the sync gate is shut") => {
                    let sync = self.order(&["sync", "playlists"]);
                    let _ = timeout(PATIENCE, sync).await.unwrap().unwrap();
                }
                Some(1) if order[0] == "sync" => {}
                // What passes: another process is at it, or was killed.
                Some(1 | 2) if text.starts_with("error:") => {
                    println!("  {order:?}: {}", text.trim_end());
                    sleep(OPERATOR_PAUSE).await;
                }
                code => panic!("{order:?} ended with {code:?}: {text}"),
            }
            command = self.order(order);
        }
        panic!("{order:?} is not done");
    }

    fn order(&mut self, order: &[&str]) -> JoinHandle<Output> {
        self.commands += 1;
        let mut command = unistore(&["migrate"]);
        command.args(order);
        command.args(["--legacy", &self.legacy, "--store", &self.unified]);
        command.args(["--log-filter", "error"]);
        let mut command = Command::from(command);
        command.kill_on_drop(true);
        tokio::spawn(async move { command.output().await.unwrap() })
    }

    /// At any moment of the step, so there is nothing to wait for but time.
    async fn kill_a_process(&mut self) {
        let delay = self.dice.roll(KILL_WITHIN_MS);
        sleep(Duration::from_millis(delay as u64)).await;
        let process = &self.processes[self.dice.roll(self.processes.len())];
        process.kill();
        self.kills += 1;
        process.start_again();
    }

    /// Reads everything through both processes, and ends the watches.
    async fn look_at_all(&self, cast: &Cast, last: &str) {
        for (at, process) in self.processes.iter().enumerate() {
            let api = process.playlists().await;
            for name in cast.names() {
                read(&self.record, &api, at, &name).await;
            }
            if at == 0 {
                let create = Ask::Create(self.record.marker());
                let last = write(&self.record, &api, at, last, create).await;
                assert!(matches!(last, Told::Done(_)), "{last:?}");
            }
        }
    }

    async fn check(&self, round: usize, cast: &Cast, switches: &[Switch], seen: &[Vec<Segment>]) {
        let legacy = History::read(&self.legacy).await;
        let unified = History::read(&self.unified).await;
        let of_round = [legacy.of(&cast.prefix), unified.of(&cast.prefix)];
        let of_round = of_round.each_ref();
        let attempts = self.record.attempts();
        let mut wrong = unexplained(&attempts, &of_round, switches);
        for name in cast.names() {
            if wrong.iter().any(|wrong| wrong.contains(&name)) {
                println!("{}", timeline(&name, &attempts, &of_round));
            }
        }
        for segments in seen {
            wrong.extend(unseen(segments, &[&legacy, &unified]));
        }
        assert!(wrong.is_empty(), "round {round}: {wrong:#?}");
    }
}
