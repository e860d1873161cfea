//! The end of a test of processes on one store.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::actor::write;
use crate::explain::{History, unexplained};
use crate::follow::{Segment, follow};
use crate::process::Process;
use crate::record::{Ask, Record, Told};
use crate::rounds::PATIENCE;
use crate::support::server::succeed;
use crate::unseen::unseen;

/// The object that ends a watch.
const LAST: &str = "the-last";

/// A watcher of each process.
pub(crate) struct Watchers<'a> {
    processes: &'a [Arc<Process>],
    tasks: Vec<JoinHandle<Vec<Segment>>>,
}

impl<'a> Watchers<'a> {
    pub(crate) fn start(processes: &'a [Arc<Process>]) -> Self {
        let watch =
            |process: &Arc<Process>| tokio::spawn(follow(Arc::clone(process), LAST.to_owned()));
        let tasks = processes.iter().map(watch).collect();
        Self { processes, tasks }
    }

    /// Ends the watches and returns what they saw.
    pub(crate) async fn end(self, record: &Record) -> Vec<Vec<Segment>> {
        let api = self.processes[0].playlists().await;
        let create = Ask::Create(record.marker());
        let last = write(record, &api, 0, LAST, create).await;
        assert!(matches!(last, Told::Done(_)), "{last:?}");
        let mut seen = Vec::new();
        for watcher in self.tasks {
            seen.push(timeout(PATIENCE, watcher).await.unwrap().unwrap());
        }
        seen
    }
}

/// Stops the processes, and asserts that their store is sound and explains what clients and
/// watchers were told.
pub(crate) async fn stop_and_explain(
    processes: &[Arc<Process>],
    store: &str,
    record: &Record,
    seen: &[Vec<Segment>],
) {
    for process in processes {
        process.stop();
    }
    succeed(&["check", "--store", store]);
    let history = History::read(store).await;
    let mut wrong = unexplained(&record.attempts(), &[&history], &[]);
    for segments in seen {
        wrong.extend(unseen(segments, &[&history]));
    }
    assert!(wrong.is_empty(), "in {}: {wrong:#?}", history.store);
}
