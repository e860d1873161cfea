//! Many writers at once, and what they were told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use storage_core::{
    Change, ChangesQuery, Op, Outcome, Precondition, ResourceKey, Revision, Scope,
    StorageBackendExt, Transaction, Write,
};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::Backend;
use crate::check::Replay;
use crate::step::{changes, conflict, key};

/// Runs `count` futures at once, started together; returns their results by number.
///
/// # Panics
/// If one of them panics.
pub async fn at_once<T, F>(count: usize, make: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(count));
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let (barrier, future) = (Arc::clone(&barrier), make(number));
        tasks.spawn(async move {
            barrier.wait().await;
            (number, future.await)
        });
    }
    let mut results = tasks.join_all().await;
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

/// A small generator of pseudo-random numbers: the same seed gives the same run.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Starts a sequence.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // Zero is the one state that the generator does not leave.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns a number below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 33) % sides.max(1) as u64).unwrap_or_default()
    }
}

/// What was committed, by revision: each object that a transaction changed, and its new value.
pub type Acknowledged = BTreeMap<Revision, BTreeMap<ResourceKey, Option<bytes::Bytes>>>;

/// Writers on a few keys: creates, updates, deletes, transactions of several writes.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Writers at once.
    pub writers: usize,
    /// Transactions of each.
    pub transactions: usize,
    /// Keys that they share.
    pub keys: usize,
    /// The run.
    pub seed: u64,
}

impl Traffic {
    /// A run that is small enough for a store that syncs a disk at each commit.
    pub const SMALL: Self = Self {
        writers: 8,
        transactions: 25,
        keys: 6,
        seed: 1,
    };

    /// Runs all writers to their end, the handles in turn; then sets `done`.
    pub async fn run(self, stores: &[Backend], done: &AtomicBool) -> Acknowledged {
        let all = at_once(self.writers, |number| {
            self.writer(number, Arc::clone(&stores[number % stores.len()]))
        })
        .await;
        done.store(true, Ordering::SeqCst);
        let mut acknowledged = Acknowledged::new();
        for (revision, changed) in all.into_iter().flatten() {
            let twice = acknowledged.insert(revision, changed);
            assert_eq!(twice, None, "two transactions at {revision}");
        }
        acknowledged
    }

    async fn writer(self, number: usize, store: Backend) -> Acknowledged {
        let mut dice = Dice::new(self.seed + number as u64);
        let mut acknowledged = Acknowledged::new();
        let mut last = Revision::ZERO;
        for count in 0..self.transactions {
            let mut transaction = Transaction::default();
            let first = dice.roll(self.keys);
            for offset in 0..=dice.roll(3).min(self.keys - 1) {
                let key = key(&((first + offset) % self.keys).to_string());
                let value = format!("{number}.{count}.{offset}");
                transaction = transaction.and(self.write(&mut dice, &store, key, value).await);
            }
            let writes = transaction.writes.clone();
            let outcome = store.commit_one(transaction).await;
            if let Outcome::Committed { revision } = outcome.expect("commit answers") {
                // Only writes that surely change something: those with a precondition.
                assert!(revision > last, "{revision} after {last}");
                last = revision;
                let changed = writes.into_iter().filter_map(change).collect();
                acknowledged.insert(revision, changed);
            }
        }
        acknowledged
    }

    async fn write(
        self,
        dice: &mut Dice,
        store: &Backend,
        key: ResourceKey,
        value: String,
    ) -> Write {
        let now = store.get(&key, None).await.expect("get answers");
        let precondition = match now {
            None => Precondition::Absent,
            Some(stored) if dice.roll(2) == 0 => Precondition::Revision(stored.revision),
            Some(_) => Precondition::Present,
        };
        let exists = precondition != Precondition::Absent;
        let op = match dice.roll(4) {
            0 if exists => Op::Delete(value.into()),
            _ => Op::Put(value.into()),
        };
        Write {
            key,
            precondition,
            op,
        }
    }
}

fn change(write: Write) -> Option<(ResourceKey, Option<bytes::Bytes>)> {
    match write.op {
        Op::Put(value) => Some((write.key, Some(value))),
        Op::Delete(_) => Some((write.key, None)),
        Op::Check => None,
    }
}

/// Checks that the store's changes are what was acknowledged, no more and no less.
pub async fn expect_acknowledged(store: &Backend, acknowledged: &Acknowledged) -> Replay {
    let all = changes(store, Scope::All, Revision::ZERO).await;
    let mut found = Acknowledged::new();
    for change in &all {
        let object = &change.object;
        let value =
            (object.kind != storage_core::ChangeKind::Deleted).then(|| object.value.clone());
        let of_revision = found.entry(object.revision).or_default();
        let twice = of_revision.insert(object.key.clone(), value);
        assert_eq!(twice, None, "{object:?} twice");
    }
    assert_eq!(&found, acknowledged);
    Replay::new(all)
}

/// Checks that one outcome is a commit and each other a conflict that shows `actual` of the
/// winner's revision; returns that.
pub fn one_winner(outcomes: &[Outcome], actual: impl Fn(Revision) -> Option<Revision>) -> Revision {
    let winners: Vec<_> = outcomes.iter().filter_map(Outcome::revision).collect();
    assert_eq!(
        winners.len(),
        1,
        "{} of {} won",
        winners.len(),
        outcomes.len()
    );
    for outcome in outcomes
        .iter()
        .filter(|outcome| outcome.revision().is_none())
    {
        assert_eq!(conflict(outcome).actual, actual(winners[0]));
    }
    winners[0]
}

/// Follows a store by `head` and `changes` until `done` is set and an object of the namespace `last`
/// has come; returns all changes.
pub async fn follow(store: Backend, limit: usize, done: Arc<AtomicBool>) -> Vec<Arc<Change>> {
    let mut head = store.head();
    let mut position = Revision::ZERO;
    let mut all = Vec::new();
    loop {
        let shown = *head.borrow_and_update();
        while position < shown {
            let query = ChangesQuery::new(Scope::All, position).limit(limit);
            let answer = store.changes(&query).await.unwrap();
            assert!(
                answer.through > position,
                "stuck at {position} below {shown}"
            );
            position = answer.through;
            all.extend(answer.changes);
        }
        let last = all
            .last()
            .map(|change: &Arc<Change>| change.object.key.namespace());
        if done.load(Ordering::SeqCst) && last == Some("last") {
            return all;
        }
        head.changed().await.unwrap();
    }
}
