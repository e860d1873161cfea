use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use conformance::{Backend, Declared, Harness, Layered};
use dualwriter::{DualWriter, DualWriterConfig, InstanceId, Mode, Options};
use storage_core::{Clock, Memory, Result, StorageBackend};

use crate::folder::Folder;
use crate::stores::{Mysql, Postgres, Sqlite};
use crate::{on_redb, on_sled};

/// A store that a kind may move away from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Legacy {
    Sqlite,
    Postgres,
    Mariadb,
    Memory,
}

/// A store that a kind may move to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unified {
    Redb,
    Sled,
}

impl Legacy {
    pub(crate) const ALL: [Self; 4] = [Self::Sqlite, Self::Postgres, Self::Mariadb, Self::Memory];

    fn harness(self) -> Box<dyn Harness> {
        match self {
            Self::Sqlite => Box::new(tracked(Sqlite::default())),
            Self::Postgres => Box::new(tracked(Postgres::default())),
            Self::Mariadb => Box::new(tracked(Mysql::default())),
            Self::Memory => Box::new(tracked(InMemory::default())),
        }
    }
}

impl Unified {
    pub(crate) const ALL: [Self; 2] = [Self::Redb, Self::Sled];

    fn harness(self) -> Box<dyn Harness> {
        Box::new(tracked(match self {
            Self::Redb => Folder::new(on_redb::open),
            Self::Sled => Folder::new(on_sled::open),
        }))
    }
}

impl fmt::Display for Legacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
            Self::Memory => "memory",
        })
    }
}

impl fmt::Display for Unified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redb => "redb",
            Self::Sled => "sled",
        })
    }
}

/// A legacy store and a unified one under a mode.
#[derive(Debug)]
pub(crate) struct Pair {
    mode: Mode,
    legacy: Box<dyn Harness>,
    unified: Box<dyn Harness>,
}

impl Pair {
    pub(crate) fn new(legacy: Legacy, unified: Unified, mode: Mode) -> Self {
        Self {
            mode,
            legacy: legacy.harness(),
            unified: unified.harness(),
        }
    }
}

/// Counts open handles: a dual writer's background lets go of them after its last handle is gone.
fn tracked<H: Harness>(store: H) -> Layered<H> {
    Layered::new(store, |backend| backend)
}

#[async_trait]
impl Harness for Pair {
    async fn open(&self, clock: Arc<dyn Clock>) -> Result<Backend> {
        // First: of two that are opened at the same time the second is refused here.
        let unified = self.unified.open(Arc::clone(&clock)).await?;
        let legacy = self.legacy.open(Arc::clone(&clock)).await?;
        let options = Options {
            clock,
            instance: InstanceId::random(),
            lease: Duration::from_secs(2),
            // For a busy machine.
            patience: Duration::from_secs(60),
            ..Options::new(DualWriterConfig::everything(self.mode))
        };
        Ok(Arc::new(DualWriter::open(legacy, unified, options).await?))
    }

    /// The unified stores of these tests are all for one process.
    fn declared(&self) -> Declared {
        Declared::EMBEDDED
    }

    fn journals(&self) -> usize {
        1
    }

    async fn closed(&self) {
        self.unified.closed().await;
        self.legacy.closed().await;
    }

    async fn remove(&self) {
        self.unified.remove().await;
        self.legacy.remove().await;
    }
}

/// A store in memory that outlives what is opened on it, as a server elsewhere does.
#[derive(Default)]
struct InMemory(OnceLock<Arc<Memory>>);

impl fmt::Debug for InMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InMemory")
    }
}

#[async_trait]
impl Harness for InMemory {
    async fn open(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn StorageBackend>> {
        let store = self.0.get_or_init(|| Arc::new(Memory::with_clock(clock)));
        Ok(Arc::clone(store) as Backend)
    }

    fn declared(&self) -> Declared {
        Declared::SHARED
    }
}
