use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use backend_kv::{
    CheckReport, KvBackend, KvEngine, RedbEngine, RedbOptions, SledEngine, SledOptions, SledSync,
};
use conformance::durability::{Compacting, Opened, Setting, Workload};
use storage_core::{Clock, Result, StorageBackend};

/// A setting of an engine that is put to the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Redb,
    Sled,
    /// sled as it is, known to lose data with the power.
    SledFlushOnly,
}

#[async_trait]
impl Setting for Engine {
    fn name(&self) -> &'static str {
        match self {
            Self::Redb => "redb",
            Self::Sled => "sled",
            Self::SledFlushOnly => "sled-flush-only",
        }
    }

    fn workload(&self, seed: u64) -> Workload {
        Workload {
            seed,
            value_bytes_max: 120_000,
            compacting: Compacting::StepByStep,
        }
    }

    async fn open(&self, location: &str, clock: Arc<dyn Clock>) -> Result<Box<dyn Opened>> {
        let folder = Path::new(location);
        match self {
            Self::Redb => {
                let options = RedbOptions {
                    cache_bytes: 8 << 20,
                };
                let engine = RedbEngine::open(folder.join("store.redb"), &options)?;
                Ok(Box::new(Checked(KvBackend::open(engine, clock)?)))
            }
            Self::Sled => open_sled(folder, SledSync::FlushAndSync, clock),
            Self::SledFlushOnly => open_sled(folder, SledSync::FlushOnly, clock),
        }
    }
}

fn open_sled(folder: &Path, sync: SledSync, clock: Arc<dyn Clock>) -> Result<Box<dyn Opened>> {
    let options = SledOptions {
        cache_bytes: 16 << 20,
        sync,
    };
    let engine = SledEngine::open(folder.join("store.sled"), &options)?;
    Ok(Box::new(Checked(KvBackend::open(engine, clock)?)))
}

struct Checked<E: KvEngine>(KvBackend<E>);

#[async_trait]
impl<E: KvEngine> Opened for Checked<E> {
    fn backend(&self) -> &dyn StorageBackend {
        &self.0
    }

    async fn check(&self) -> Result<(), String> {
        check_clean(&self.0).await
    }
}

/// Says what the check of a store finds first.
pub(crate) async fn check_clean<E: KvEngine>(store: &KvBackend<E>) -> Result<(), String> {
    clean(store.check().await)
}

fn clean(report: Result<CheckReport>) -> Result<(), String> {
    let report = report.map_err(|e| format!("the check fails: {e:?}"))?;
    match report.disagreements.first() {
        None => Ok(()),
        Some(first) => Err(format!(
            "{} disagreements, the first: {first}",
            report.disagreements.len()
        )),
    }
}
