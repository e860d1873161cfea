use std::sync::Arc;
use std::time::Duration;

use storage_core::{
    ManualClock, Memory, Op, OperationId, Precondition, ResourceKey, Result, Retention, Revision,
    StorageBackend, Timestamp, Transaction, Write,
};

use super::{Chance, Dump};

/// Names per namespace: few, so that objects are updated, deleted and created again.
const NAMES: u64 = 12;
const NAMESPACES: [&str; 3] = ["", "default", "kube-system"];
const RESOURCES: [&str; 2] = ["pods", "services"];

/// What a store is asked to do. Step `n` is a function of the seed and `n`, so that a process that
/// died can be replayed on [`Memory`] and both stores compared whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Gives another workload.
    pub seed: u64,
    /// The longest values; every eighth is up to this long.
    pub value_bytes_max: u64,
    /// What the compactions do.
    pub compacting: Compacting,
}

/// What the compactions of a workload do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compacting {
    /// They take small steps and drop changes, history and trash, in the very order of [`Memory`].
    StepByStep,
    /// Each drops changes only, and all that it may: a store may do so in an order of its own.
    ChangesOnly,
}

/// One call.
#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Transaction>),
    Compact(Retention),
}

impl Workload {
    /// Makes call number `step` and waits until it is answered.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn run(
        &self,
        step: u64,
        store: &dyn StorageBackend,
        clock: &ManualClock,
    ) -> Result<()> {
        clock.set(time(step));
        match self.step(step) {
            Step::Commit(transactions) => store.commit(transactions).await.map(drop),
            Step::Compact(policy) => store.compact(&policy).await.map(drop),
        }
    }

    fn step(&self, step: u64) -> Step {
        let mut chance = Chance::new(self.seed ^ (step << 20));
        if chance.one_in(10) {
            return Step::Compact(self.policy(&mut chance));
        }
        let transactions = 1 + chance.below(4);
        Step::Commit(
            (0..transactions)
                .map(|_| self.transaction(step, &mut chance))
                .collect(),
        )
    }

    fn transaction(&self, step: u64, chance: &mut Chance) -> Transaction {
        let mut transaction = Transaction {
            time: Some(time(step)),
            operation: OperationId(u128::from(step)),
            at_least: chance.one_in(16).then(|| Revision::new(step * 6)),
            ..Transaction::default()
        };
        for _ in 0..1 + chance.below(3) {
            let write = self.write(chance);
            let taken = transaction.writes.iter().any(|w| w.key == write.key);
            if !taken {
                transaction.writes.push(write);
            }
        }
        transaction
    }

    fn write(&self, chance: &mut Chance) -> Write {
        let precondition = match chance.below(12) {
            0 => Precondition::Absent,
            1 => Precondition::Present,
            _ => Precondition::Any,
        };
        let op = match chance.below(20) {
            0 => Op::Check,
            1..=5 => Op::Delete(self.value(chance).into()),
            _ => Op::Put(self.value(chance).into()),
        };
        Write {
            key: key(chance),
            precondition,
            op,
        }
    }

    fn value(&self, chance: &mut Chance) -> Vec<u8> {
        let bytes_max = match chance.below(8) {
            0 => self.value_bytes_max,
            1..=3 => self.value_bytes_max.min(3000),
            _ => 200,
        };
        let bytes = chance.below(bytes_max + 1) as usize;
        let seed = chance.below(u64::MAX).to_le_bytes();
        seed.iter().copied().cycle().take(bytes).collect()
    }

    /// Keeps the store small, so that hundreds of rounds compare it whole.
    fn policy(&self, chance: &mut Chance) -> Retention {
        match self.compacting {
            // Often too little to finish.
            Compacting::StepByStep => Retention {
                changes_age_min: Duration::from_secs(chance.below(3)),
                changes_age_max: Some(Duration::from_secs(40)),
                changes_max: Some(30 + chance.below(60)),
                history_per_object: Some(1 + chance.below(4) as usize),
                trash_age_max: Some(Duration::from_secs(10 + chance.below(20))),
                step_max: 1 + chance.below(300) as usize,
            },
            Compacting::ChangesOnly => Retention {
                changes_age_min: Duration::ZERO,
                changes_age_max: Some(Duration::from_secs(20 + chance.below(20))),
                changes_max: None,
                history_per_object: None,
                trash_age_max: None,
                ..Retention::default()
            },
        }
    }
}

fn key(chance: &mut Chance) -> ResourceKey {
    let name = format!("n{}", chance.below(NAMES));
    if chance.one_in(10) {
        return ResourceKey::internal("journal", "", name).unwrap();
    }
    let resource = RESOURCES[chance.below(2) as usize];
    let namespace = NAMESPACES[chance.below(3) as usize];
    ResourceKey::new("", resource, namespace, name).unwrap()
}

fn time(step: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + step * 1000)
}

/// The specification, kept at the step that a store has reached.
#[derive(Debug)]
pub struct Twin {
    workload: Workload,
    memory: Memory,
    clock: Arc<ManualClock>,
    steps: u64,
}

impl Twin {
    /// Starts with an empty store.
    #[must_use]
    pub fn new(workload: Workload) -> Self {
        let clock = Arc::new(ManualClock::default());
        Self {
            workload,
            memory: Memory::with_clock(Arc::clone(&clock) as _),
            clock,
            steps: 0,
        }
    }

    /// Returns how many steps were made.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// Makes steps until there are so many.
    pub async fn advance_to(&mut self, steps: u64) {
        while self.steps < steps {
            let run = self.workload.run(self.steps, &self.memory, &self.clock);
            run.await.unwrap();
            self.steps += 1;
        }
    }

    /// Returns what it is asked to do.
    #[must_use]
    pub const fn workload(&self) -> Workload {
        self.workload
    }

    /// Returns all that the specification answers.
    pub async fn dump(&self) -> Dump {
        Dump::of(&self.memory).await.unwrap()
    }

    /// Advances to the state that a recovered store has: at least the steps that were
    /// acknowledged, at most those that may have been made.
    ///
    /// # Errors
    /// What was lost or torn.
    pub async fn find(
        &mut self,
        found: &Dump,
        acknowledged: u64,
        made_max: u64,
    ) -> Result<(), String> {
        let from = self.steps;
        self.advance_to(acknowledged).await;
        let first = self.dump().await;
        if first == *found {
            return Ok(());
        }
        while self.steps < made_max {
            self.advance_to(self.steps + 1).await;
            if self.dump().await == *found {
                return Ok(());
            }
        }
        let missing = if found.head < first.head {
            "acknowledged writes are lost"
        } else {
            "the store is in no state that was committed"
        };
        Err(format!(
            "{missing}: from step {from}, {acknowledged} acknowledged, at most {made_max} made, head {} instead of {}: {}",
            found.head,
            first.head,
            found.difference(&first)
        ))
    }
}
