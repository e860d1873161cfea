//! Creates and updates by many writers in each mode of the dual writer, beside the two stores alone,
//! each store under a group commit of its own, as in the server.
//!
//! Rounds go through all of them one after the other, each on new stores, so that what else the
//! machine does hits all alike; a ratio is one of rates of the same round. The table shows medians.
//!
//! Beside the modes stands what two stores cost without the dual writer: a write to legacy and then
//! one to unified, with nothing to recover by.
//!
//! `UNISTORE_BENCH_TARGETS` takes some of them beside the two stores, by their names in the table:
//! `UNISTORE_BENCH_TARGETS="mode 0,mode 5"`.
//!
//! The stores have an object per writer at first, or as many as `UNISTORE_BENCH_OBJECTS` says, and
//! updates go to any of them: a store that somebody migrates is not empty.
//!
//! Unified is redb. Legacy is SQLite, or what `UNISTORE_BENCH_LEGACY` says: `sqlite`, `postgres` or
//! `mariadb`, whose servers `cargo xtask servers -- cargo bench -p bench --bench modes` starts.
//! `UNISTORE_BENCH_LEGACY_FOLDER` puts SQLite's file into another folder: on a disk of its own, so that
//! the two stores do not share one.
#![allow(clippy::unwrap_used, reason = "the stores of the tests are part of it")]

#[path = "../../backend-sql/tests/it/stores.rs"]
mod stores;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backend_kv::{KvBackend, RedbEngine, RedbOptions};
use bench::load::{Load, Measured, creates, fill, guarded_updates};
use bench::plain::PlainDualWrite;
use bench::rounds::{Size, median, number_from_env, spread};
use bench::workload::key;
use conformance::Harness;
use dualwriter::{DualWriter, DualWriterConfig, Forced, Kind, Mode, Options};
use storage_core::layer::GroupCommit;
use storage_core::{Result, StorageBackend, SystemClock};
use tempfile::TempDir;

use stores::{Mysql, Postgres, Sqlite};

const WRITERS: usize = 64;
const VALUE_BYTES: usize = 1024;
const TARGETS_VARIABLE: &str = "UNISTORE_BENCH_TARGETS";
const OBJECTS_VARIABLE: &str = "UNISTORE_BENCH_OBJECTS";
const LEGACY_VARIABLE: &str = "UNISTORE_BENCH_LEGACY";
const LEGACY_FOLDER_VARIABLE: &str = "UNISTORE_BENCH_LEGACY_FOLDER";
const FULL: Size = Size {
    rounds: 5,
    writes: 64,
};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// SQLite alone.
    Legacy,
    /// redb alone.
    Unified,
    /// Both, one after the other, without a protocol.
    Plain,
    /// Both under the dual writer.
    Dual(Mode),
}

const TARGETS: [Target; 9] = [
    Target::Legacy,
    Target::Unified,
    Target::Plain,
    Target::Dual(Mode::Zero),
    Target::Dual(Mode::One),
    Target::Dual(Mode::Two),
    Target::Dual(Mode::Three),
    Target::Dual(Mode::Four),
    Target::Dual(Mode::Five),
];

/// What a target did in one round.
struct Round {
    creates: Measured,
    updates: Measured,
}

impl Target {
    fn name(self) -> String {
        match self {
            Self::Legacy => legacy_name(),
            Self::Unified => "redb".into(),
            Self::Plain => "no mode".into(),
            Self::Dual(mode) => format!("mode {}", mode.number()),
        }
    }

    /// What a mode is compared with: the store that it writes, or the slower of two.
    fn alone(self, rate: impl Fn(Self) -> f64) -> f64 {
        match self {
            Self::Legacy | Self::Unified => rate(self),
            Self::Dual(Mode::Zero | Mode::One) => rate(Self::Legacy),
            Self::Plain | Self::Dual(Mode::Two | Mode::Three) => {
                rate(Self::Legacy).min(rate(Self::Unified))
            }
            Self::Dual(Mode::Four | Mode::Five) => rate(Self::Unified),
        }
    }

    async fn open(self, legacy: &dyn Harness, folder: &Path, load: Load) -> Result<Opened> {
        match self {
            Self::Legacy => Ok(Opened::One(filled(open_legacy(legacy).await?, load).await?)),
            Self::Unified => Ok(Opened::One(filled(open_unified(folder)?, load).await?)),
            Self::Plain => {
                let legacy = filled(open_legacy(legacy).await?, load).await?;
                let unified = filled(open_unified(folder)?, load).await?;
                Ok(Opened::One(Arc::new(PlainDualWrite::new(legacy, unified))))
            }
            Self::Dual(mode) => {
                let legacy = filled(open_legacy(legacy).await?, load).await?;
                let unified = filled(open_unified(folder)?, load).await?;
                // A kind comes to mode 3 by a sync: without it each creation looks into legacy.
                let first = if mode == Mode::Three { Mode::Two } else { mode };
                let options = Options::new(DualWriterConfig::everything(first));
                let dual = DualWriter::open(legacy, unified, options).await?;
                if mode != first {
                    let kind = Kind::of(&key(0)?);
                    dual.sync(&kind, &mut |_| {}).await?;
                    let changed = dual.set_mode(&kind, mode, Forced::No).await;
                    changed.expect("the sync opened the gate");
                }
                Ok(Opened::Dual(Arc::new(dual)))
            }
        }
    }

    async fn round(self, load: Load) -> Result<Round> {
        let folder = folder();
        let elsewhere = std::env::var_os(LEGACY_FOLDER_VARIABLE).map(|parent| {
            assert_eq!(
                legacy_name(),
                "sqlite",
                "{LEGACY_FOLDER_VARIABLE} is for SQLite"
            );
            TempDir::new_in(&parent)
                .unwrap_or_else(|error| panic!("{LEGACY_FOLDER_VARIABLE}={parent:?}: {error}"))
        });
        let legacy = new_legacy(elsewhere.as_ref().unwrap_or(&folder).path());
        let opened = self.open(&*legacy, folder.path(), load).await?;
        let store = opened.store();
        let round = Round {
            creates: creates(Arc::clone(&store), load, 0).await?,
            updates: guarded_updates(store, load).await?,
        };
        if let Opened::Dual(dual) = opened {
            dual.close().await?;
        }
        legacy.remove().await;
        Ok(round)
    }
}

enum Opened {
    One(Arc<dyn StorageBackend>),
    Dual(Arc<DualWriter>),
}

impl Opened {
    fn store(&self) -> Arc<dyn StorageBackend> {
        match self {
            Self::One(store) => Arc::clone(store),
            Self::Dual(dual) => Arc::clone(dual) as Arc<dyn StorageBackend>,
        }
    }
}

/// Returns what is to be measured: everything is compared with the two stores.
fn chosen() -> Vec<Target> {
    let Ok(names) = std::env::var(TARGETS_VARIABLE) else {
        return TARGETS.into();
    };
    let names: Vec<&str> = names.split(',').map(str::trim).collect();
    let known = TARGETS.map(Target::name);
    for name in &names {
        let is_known = known.iter().any(|known| known == name);
        assert!(
            is_known,
            "{TARGETS_VARIABLE}: {name:?} is none of {known:?}"
        );
    }
    let is_asked_for = |target: &Target| match target {
        Target::Legacy | Target::Unified => true,
        Target::Plain | Target::Dual(_) => names.contains(&target.name().as_str()),
    };
    TARGETS.into_iter().filter(is_asked_for).collect()
}

fn legacy_name() -> String {
    std::env::var(LEGACY_VARIABLE).unwrap_or_else(|_| "sqlite".into())
}

fn new_legacy(folder: &Path) -> Box<dyn Harness> {
    match legacy_name().as_str() {
        "sqlite" => Box::new(Sqlite::new_in(folder)),
        "postgres" => Box::new(Postgres::default()),
        "mariadb" => Box::new(Mysql::default()),
        other => panic!("{LEGACY_VARIABLE}={other}: sqlite, postgres and mariadb are allowed"),
    }
}

async fn filled(store: Arc<dyn StorageBackend>, load: Load) -> Result<Arc<dyn StorageBackend>> {
    fill(&*store, load).await?;
    Ok(store)
}

async fn open_legacy(legacy: &dyn Harness) -> Result<Arc<dyn StorageBackend>> {
    let store = legacy.open(Arc::new(SystemClock)).await?;
    Ok(Arc::new(GroupCommit::new(store)))
}

fn open_unified(folder: &Path) -> Result<Arc<dyn StorageBackend>> {
    let engine = RedbEngine::open(folder.join("unified.redb"), &RedbOptions::default())?;
    let store = KvBackend::open(engine, Arc::new(SystemClock))?;
    Ok(Arc::new(GroupCommit::new(store)))
}

fn folder() -> TempDir {
    // On the disk of the build, not in a memory file system, where a sync costs nothing.
    let target: PathBuf = env!("CARGO_TARGET_TMPDIR").into();
    TempDir::new_in(target).expect("the target folder can be written")
}

#[tokio::main]
async fn main() -> Result<()> {
    let Size { rounds, writes } = Size::or(FULL);
    let load = Load {
        writers: WRITERS,
        updates: writes,
        value_bytes: VALUE_BYTES,
        objects: number_from_env(OBJECTS_VARIABLE, WRITERS),
    };
    assert!(
        load.objects >= WRITERS,
        "{OBJECTS_VARIABLE}={}: at least {WRITERS}, one for each writer",
        load.objects
    );
    let targets = chosen();
    let mut measured: Vec<Vec<Round>> = targets.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for turn in 0..targets.len() {
            // Nobody is always the first.
            let index = (turn + round) % targets.len();
            measured[index].push(targets[index].round(load).await?);
        }
    }
    println!(
        "{rounds} rounds, {WRITERS} writers with {} writes each, {} objects at first",
        load.updates, load.objects
    );
    print("creates", &targets, &measured, |round| &round.creates);
    print("updates", &targets, &measured, |round| &round.updates);
    Ok(())
}

fn print(what: &str, targets: &[Target], measured: &[Vec<Round>], of: fn(&Round) -> &Measured) {
    println!(
        "\n{what:8}  {:>8}  {:>8}  {:>8}  {:>24}",
        "per s", "p50 ms", "p99 ms", "of the store alone"
    );
    let rounds = |target: Target| {
        let index = targets.iter().position(|known| *known == target);
        &measured[index.expect("a target")]
    };
    for &target in targets {
        let ratios: Vec<f64> = (0..rounds(target).len())
            .map(|round| {
                let rate = |target: Target| of(&rounds(target)[round]).rate();
                rate(target) / target.alone(rate)
            })
            .collect();
        let middle = |of_round: &dyn Fn(&Measured) -> f64| {
            let mut all: Vec<f64> = rounds(target).iter().map(|r| of_round(of(r))).collect();
            median(&mut all)
        };
        let rate = middle(&|m| m.rate());
        let p50 = middle(&|m| milliseconds(m.percentile(50)));
        let p99 = middle(&|m| milliseconds(m.percentile(99)));
        let spread = spread(ratios);
        println!(
            "{:8}  {rate:8.0}  {p50:8.2}  {p99:8.2}  {spread:>24}",
            target.name()
        );
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
