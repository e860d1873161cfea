use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use storage_core::ResourceKey;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::rounds::PATIENCE;

/// A number that is written into one value only, so that whoever sees it knows which write it was.
pub(crate) type Marker = u64;

/// A state of an object that a client saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) marker: Marker,
    pub(crate) version: u64,
    /// When the client asked for it.
    pub(crate) call: u64,
}

/// What a client asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Read,
    Create(Marker),
    Update { marker: Marker, over: Seen },
    Delete { over: Seen },
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A read's answer.
    Saw(Option<Seen>),
    /// The write was made, at this version where the answer names one.
    Done(Option<u64>),
    /// Another write was faster.
    Refused,
    /// It failed, and nothing was written.
    Failed(String),
    /// It may have been written or not.
    Unknown(String),
}

/// One request and its answer. Times are ticks of the record's clock.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) name: String,
    /// Which process was asked.
    pub(crate) process: usize,
    pub(crate) call: u64,
    pub(crate) answered: u64,
    pub(crate) answered_at: Instant,
    pub(crate) ask: Ask,
    pub(crate) told: Told,
}

/// What all clients asked and were told, on one clock.
#[derive(Debug, Default)]
pub(crate) struct Record {
    clock: AtomicU64,
    marker: AtomicU64,
    attempts: Mutex<Vec<Attempt>>,
    acknowledged: watch::Sender<usize>,
    failed: watch::Sender<usize>,
}

impl Record {
    /// Returns a time that is later than all that were returned before.
    pub(crate) fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) fn marker(&self) -> Marker {
        self.marker.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) fn add(&self, attempt: Attempt) {
        let counted = match attempt.told {
            Told::Done(_) => Some(&self.acknowledged),
            Told::Failed(_) | Told::Unknown(_) => Some(&self.failed),
            Told::Saw(_) | Told::Refused => None,
        };
        self.attempts.lock().unwrap().push(attempt);
        if let Some(counted) = counted {
            counted.send_modify(|count| *count += 1);
        }
    }

    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        self.attempts.lock().unwrap().clone()
    }

    /// Waits until so many more writes are acknowledged.
    pub(crate) async fn progress(&self, writes: usize) {
        self.more(&self.acknowledged, writes).await;
    }

    /// Waits until so many more requests failed, or were not answered.
    pub(crate) async fn failures(&self, requests: usize) {
        self.more(&self.failed, requests).await;
    }

    async fn more(&self, counter: &watch::Sender<usize>, more: usize) {
        let mut counted = counter.subscribe();
        let goal = *counted.borrow() + more;
        let reached = timeout(PATIENCE, counted.wait_for(|count| *count >= goal)).await;
        if reached.is_err() {
            let attempts = self.attempts();
            for attempt in attempts.iter().rev().take(20) {
                println!("{attempt:?}");
            }
            panic!("nothing goes on; the newest requests are printed above");
        }
    }

    /// Tells how often each answer was given.
    pub(crate) fn summary(&self) -> String {
        let (mut reads, mut done, mut refused, mut failed, mut unknown) = (0, 0, 0, 0, 0);
        for attempt in self.attempts() {
            match attempt.told {
                Told::Saw(_) => reads += 1,
                Told::Done(_) => done += 1,
                Told::Refused => refused += 1,
                Told::Failed(_) => failed += 1,
                Told::Unknown(_) => unknown += usize::from(attempt.ask != Ask::Read),
            }
        }
        format!(
            "{done} writes acknowledged, {refused} too late, {unknown} unknown, {reads} reads, \
             {failed} requests failed"
        )
    }

    /// Returns how often each error was told.
    pub(crate) fn errors(&self) -> BTreeMap<String, usize> {
        let mut errors = BTreeMap::new();
        for attempt in self.attempts() {
            if let Told::Failed(message) | Told::Unknown(message) = attempt.told {
                *errors.entry(message).or_default() += 1;
            }
        }
        errors
    }
}

/// Returns the key of a playlist of the tests.
pub(crate) fn key(name: &str) -> ResourceKey {
    ResourceKey::new("playlist.grafana.app", "playlists", "default", name).unwrap()
}
