use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use storage_core::{Clock, ManualClock, Result, StorageBackend};

use super::{Dump, Twin, Workload};

/// A setting of an engine that is put to the proof.
#[async_trait]
pub trait Setting: fmt::Debug + Sync {
    /// Returns its name, in reports and for the process that writes.
    fn name(&self) -> &'static str;

    /// Returns what its store is asked to do.
    fn workload(&self, seed: u64) -> Workload;

    /// Puts into an empty folder what must be there before it can be served.
    ///
    /// # Errors
    /// What went wrong.
    async fn prepare(&self, _folder: &Path) -> Result<(), String> {
        Ok(())
    }

    /// Starts what serves the store of a folder.
    ///
    /// # Errors
    /// What went wrong.
    async fn serve(&self, folder: &Path) -> Result<Served, String> {
        Ok(Served::embedded(folder))
    }

    /// Opens the store.
    ///
    /// # Errors
    /// Those of the store.
    async fn open(&self, location: &str, clock: Arc<dyn Clock>) -> Result<Box<dyn Opened>>;
}

/// The store of a setting, open.
#[async_trait]
pub trait Opened: Send + Sync {
    /// Returns the store.
    fn backend(&self) -> &dyn StorageBackend;

    /// Looks whether the store agrees with itself.
    ///
    /// # Errors
    /// The first disagreement.
    async fn check(&self) -> Result<(), String>;
}

/// Where a store is served. Dropping it ends what serves it, at once.
pub struct Served {
    /// What [`Setting::open`] takes.
    pub location: String,
    _server: Option<Box<dyn Send>>,
}

impl Served {
    /// A folder that the store's own process opens.
    ///
    /// # Panics
    /// If its path is not text.
    #[must_use]
    pub fn embedded(folder: &Path) -> Self {
        Self {
            location: folder.to_str().unwrap().into(),
            _server: None,
        }
    }

    /// A URL, and the server behind it.
    #[must_use]
    pub fn by(server: impl Send + 'static, location: String) -> Self {
        Self {
            location,
            _server: Some(Box::new(server)),
        }
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served")
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

/// Verifies a recovered store: it agrees with itself, and with a state that was committed.
pub(super) async fn verify(
    setting: &dyn Setting,
    location: &str,
    twin: &mut Twin,
    acknowledged: u64,
    made_max: u64,
) -> Result<(), String> {
    let opened = setting.open(location, Arc::new(ManualClock::default()));
    let store = opened
        .await
        .map_err(|e| format!("the store does not open: {e:?}"))?;
    store.check().await?;
    let dump = Dump::of(store.backend()).await;
    let dump = dump.map_err(|e| format!("the store cannot be read: {e:?}"))?;
    twin.find(&dump, acknowledged, made_max).await
}
