//! IO errors below redb at every single operation of opening, writing, reading and closing.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use backend_kv::{KvBackend, RedbEngine, RedbOptions};
use conformance::durability::{Chance, Compacting, Dump, Report, Twin, Workload};
use futures::FutureExt;
use storage_core::{Error, ErrorKind, ManualClock};
use tokio::time::timeout;

use crate::storage::{Disk, Failing, Unsynced, image};
use crate::store::check_clean;

/// Steps before the scenario begins, and steps of the scenario.
const STEPS_BEFORE: u64 = 20;
const STEPS: u64 = 8;
/// Nothing here takes a second.
const HANGS: Duration = Duration::from_secs(30);
/// So small that reads reach the disk.
const OPTIONS: RedbOptions = RedbOptions {
    cache_bytes: 64 << 10,
};
const WORKLOAD: Workload = Workload {
    seed: 77,
    value_bytes_max: 30_000,
    compacting: Compacting::StepByStep,
};

pub(crate) async fn run() -> Result<Report, String> {
    let scenario = Arc::new(Scenario::make().await);
    let mut runs = Vec::new();
    for base in [Base::Closed, Base::Crashed] {
        for failing in [Failing::Once as fn(u64) -> Failing, Failing::From] {
            let scenario = Arc::clone(&scenario);
            runs.push(tokio::spawn(async move {
                scenario.fail_everywhere(base, failing).await
            }));
        }
    }
    let (mut faults, mut refused) = (0, 0);
    for run in runs {
        let counts = run.await.map_err(|e| e.to_string())??;
        faults += counts.0;
        refused += counts.1;
    }
    Ok(format!(
        "{faults} faults, {refused} refused with an error and the others without effect, all acknowledged steps present after each"
    ))
}

/// What a scenario starts from.
#[derive(Clone, Copy, Debug)]
enum Base {
    Closed,
    Crashed,
}

/// What came of a fault.
enum Ran {
    /// The scenario has fewer operations.
    Untouched,
    /// Every step was answered.
    Unnoticed,
    /// A call failed with an error.
    Refused,
}

struct Scenario {
    closed: Vec<u8>,
    crashed: Vec<u8>,
    /// The states from the end of the steps before on.
    states: Vec<Dump>,
}

impl Scenario {
    async fn make() -> Self {
        let disk = Disk::new(Vec::new(), Failing::Never);
        let clock = Arc::new(ManualClock::default());
        let engine = RedbEngine::with_storage(disk.clone(), &OPTIONS).unwrap();
        let store = KvBackend::open(engine, Arc::clone(&clock) as _).unwrap();
        for step in 0..STEPS_BEFORE {
            WORKLOAD.run(step, &store, &clock).await.unwrap();
        }
        let crashed = disk.content();
        drop(store);
        let mut twin = Twin::new(WORKLOAD);
        let mut states = Vec::new();
        for steps in STEPS_BEFORE..=STEPS_BEFORE + STEPS {
            twin.advance_to(steps).await;
            states.push(twin.dump().await);
        }
        Self {
            closed: disk.content(),
            crashed,
            states,
        }
    }

    /// Fails operation 1, 2, 3 … until there are no more; returns how many faults there were and
    /// how many of them a call answered with an error.
    async fn fail_everywhere(
        &self,
        base: Base,
        failing: fn(u64) -> Failing,
    ) -> Result<(u64, u64), String> {
        let mut refused = 0;
        for at in 1.. {
            let failing = failing(at);
            let run = AssertUnwindSafe(self.run(base, failing)).catch_unwind();
            let what = || format!("{base:?}, {failing:?}");
            let run = timeout(HANGS, run).await;
            let run = run.map_err(|_| format!("{}: hangs", what()))?;
            let run = run.map_err(|_| format!("{}: panics", what()))?;
            match run.map_err(|e| format!("{}: {e}", what()))? {
                Ran::Untouched => return Ok((at - 1, refused)),
                Ran::Refused => refused += 1,
                Ran::Unnoticed => {}
            }
        }
        Err("there are too many operations".into())
    }

    async fn run(&self, base: Base, failing: Failing) -> Result<Ran, String> {
        let base = match base {
            Base::Closed => &self.closed,
            Base::Crashed => &self.crashed,
        };
        let disk = Disk::new(base.clone(), failing);
        let (acknowledged, error) = use_store(&disk).await?;
        let may_be_made = usize::from(error.as_ref().is_some_and(Error::is_indeterminate));
        let touched = match failing {
            Failing::Never => false,
            Failing::Once(at) | Failing::From(at) => disk.operations() >= at,
        };
        // As the disk is now, and as it is when the power goes: what was not synced is lost.
        let mut chance = Chance::new(0);
        let unsynced_lost = image(base, &disk.events(), Unsynced::None, &mut chance);
        for content in [disk.content(), unsynced_lost] {
            let states = &self.states[acknowledged..=acknowledged + may_be_made];
            verify(content, states).await?;
        }
        Ok(match error {
            _ if !touched => Ran::Untouched,
            Some(_) => Ran::Refused,
            None => Ran::Unnoticed,
        })
    }
}

/// Opens, writes and reads until something fails; returns how many steps were acknowledged.
async fn use_store(disk: &Disk) -> Result<(usize, Option<Error>), String> {
    let clock = Arc::new(ManualClock::default());
    let opened = RedbEngine::with_storage(disk.clone(), &OPTIONS)
        .and_then(|engine| KvBackend::open(engine, Arc::clone(&clock) as _));
    let store = match opened {
        Ok(store) => store,
        Err(error) => return is_clear(&error).map(|()| (0, Some(error))),
    };
    for step in 0..STEPS {
        let run = |step| WORKLOAD.run(STEPS_BEFORE + step, &store, &clock);
        let Err(error) = run(step).await else {
            continue;
        };
        is_clear(&error)?;
        if error.is_indeterminate() {
            stays_refused(run(step).await)?;
            stays_refused(Dump::of(&store).await.map(drop))?;
        }
        return Ok((step as usize, Some(error)));
    }
    let read = Dump::of(&store).await.err();
    read.as_ref().map_or(Ok(()), is_clear)?;
    Ok((STEPS as usize, read))
}

fn is_clear(error: &Error) -> Result<(), String> {
    let expected = matches!(
        error.kind(),
        ErrorKind::Unavailable | ErrorKind::Indeterminate
    );
    if expected && !error.to_string().contains("did not answer") {
        return Ok(());
    }
    Err(format!("the error is not clear: {error:?}"))
}

/// After a failed durable write a store refuses all work until it is opened again.
fn stays_refused(result: storage_core::Result<()>) -> Result<(), String> {
    match result {
        Err(error) if error.kind() == ErrorKind::Unavailable => {
            let says_why = error.to_string().contains("must be reopened");
            says_why
                .then_some(())
                .ok_or_else(|| format!("the error does not say what to do: {error:?}"))
        }
        other => Err(format!("the store goes on after a failed write: {other:?}")),
    }
}

async fn verify(content: Vec<u8>, states: &[Dump]) -> Result<(), String> {
    let disk = Disk::new(content, Failing::Never);
    let opened = RedbEngine::with_storage(disk, &OPTIONS)
        .and_then(|engine| KvBackend::open(engine, Arc::new(ManualClock::default())));
    let store = opened.map_err(|e| format!("the store does not open again: {e:?}"))?;
    check_clean(&store).await?;
    let dump = Dump::of(&store).await.map_err(|e| format!("{e:?}"))?;
    if states.contains(&dump) {
        return Ok(());
    }
    let difference = dump.difference(&states[0]);
    Err(format!("not the acknowledged state: {difference}"))
}
