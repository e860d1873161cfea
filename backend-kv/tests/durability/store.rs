use std::path::Path;
use std::sync::Arc;

use backend_kv::{
    CheckReport, KvBackend, KvEngine, RedbEngine, RedbOptions, SledEngine, SledOptions, SledSync,
};
use storage_core::{Clock, Result, StorageBackend};

use crate::dump::Dump;
use crate::workload::Twin;

/// A setting of an engine that is put to the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    Redb,
    Sled,
    /// sled as it is, known to lose data with the power.
    SledFlushOnly,
}

impl Setting {
    pub(crate) const ALL: [Self; 3] = [Self::Redb, Self::Sled, Self::SledFlushOnly];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Redb => "redb",
            Self::Sled => "sled",
            Self::SledFlushOnly => "sled-flush-only",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.name() == name)
    }

    pub(crate) fn open(self, folder: &Path, clock: Arc<dyn Clock>) -> Result<AnyStore> {
        match self {
            Self::Redb => {
                let options = RedbOptions {
                    cache_bytes: 8 << 20,
                };
                let engine = RedbEngine::open(folder.join("store.redb"), &options)?;
                Ok(AnyStore::Redb(KvBackend::open(engine, clock)?))
            }
            Self::Sled | Self::SledFlushOnly => {
                let sync = if self == Self::Sled {
                    SledSync::FlushAndSync
                } else {
                    SledSync::FlushOnly
                };
                let options = SledOptions {
                    cache_bytes: 16 << 20,
                    sync,
                };
                let engine = SledEngine::open(folder.join("store.sled"), &options)?;
                Ok(AnyStore::Sled(KvBackend::open(engine, clock)?))
            }
        }
    }
}

pub(crate) enum AnyStore {
    Redb(KvBackend<RedbEngine>),
    Sled(KvBackend<SledEngine>),
}

impl AnyStore {
    pub(crate) fn backend(&self) -> &dyn StorageBackend {
        match self {
            Self::Redb(store) => store,
            Self::Sled(store) => store,
        }
    }

    async fn check(&self) -> Result<CheckReport> {
        match self {
            Self::Redb(store) => store.check().await,
            Self::Sled(store) => store.check().await,
        }
    }

    /// Verifies a recovered store: it agrees with itself, and with a state that was committed.
    pub(crate) async fn verify(
        &self,
        twin: &mut Twin,
        acknowledged: u64,
        made_max: u64,
    ) -> Result<(), String> {
        clean(self.check().await)?;
        let dump = Dump::of(self.backend()).await;
        let dump = dump.map_err(|e| format!("the store cannot be read: {e:?}"))?;
        twin.find(&dump, acknowledged, made_max).await
    }
}

/// As [`AnyStore::verify`], for an engine that is no setting.
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
