use std::sync::Arc;

use dualwriter::{DualWriter, Options, Side};
use storage_core::layer::{ChangeCache, GroupCommit, Observe};
use storage_core::{Result, StorageBackend};

/// A store with the usual layers above it: it counts and traces calls, answers watches from memory,
/// and commits what many callers write together. Or two such stores below a dual writer.
#[derive(Debug)]
pub struct Layers {
    store: Arc<dyn StorageBackend>,
    engines: Vec<Engine>,
    dual_writer: Option<Arc<DualWriter>>,
}

/// An engine below its layers.
#[derive(Debug)]
struct Engine {
    store: Arc<dyn StorageBackend>,
    group_commit: Arc<GroupCommit<Arc<dyn StorageBackend>>>,
}

impl Engine {
    fn new(engine: Arc<dyn StorageBackend>, name: &'static str) -> Self {
        let group_commit = Arc::new(GroupCommit::new(engine));
        let store = Observe::named(ChangeCache::new(Arc::clone(&group_commit)), name);
        Self {
            store: Arc::new(store),
            group_commit,
        }
    }
}

impl Layers {
    /// Puts the layers on an engine.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn new(engine: Arc<dyn StorageBackend>) -> Self {
        let name = engine.info().engine;
        let engine = Engine::new(engine, name);
        Self {
            store: Arc::clone(&engine.store),
            engines: vec![engine],
            dual_writer: None,
        }
    }

    /// Puts the layers on each of two engines, and a dual writer above both.
    ///
    /// # Errors
    /// As [`DualWriter::open`].
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn dual(
        legacy: Arc<dyn StorageBackend>,
        unified: Arc<dyn StorageBackend>,
        options: Options,
    ) -> Result<Self> {
        let legacy = Engine::new(legacy, "legacy");
        let unified = Engine::new(unified, "unified");
        let (below, above) = (Arc::clone(&legacy.store), Arc::clone(&unified.store));
        let dual_writer = Arc::new(DualWriter::open(below, above, options).await?);
        Ok(Self {
            store: Arc::new(Observe::new(Arc::clone(&dual_writer))),
            engines: vec![legacy, unified],
            dual_writer: Some(dual_writer),
        })
    }

    /// Returns the store with its layers.
    #[must_use]
    pub fn store(&self) -> Arc<dyn StorageBackend> {
        Arc::clone(&self.store)
    }

    /// Returns the dual writer, if there are two stores.
    #[must_use]
    pub const fn dual_writer(&self) -> Option<&Arc<DualWriter>> {
        self.dual_writer.as_ref()
    }

    /// Returns one of the two stores below the dual writer.
    #[must_use]
    pub fn side(&self, side: Side) -> Option<Arc<dyn StorageBackend>> {
        let index = match side {
            Side::Legacy => 0,
            Side::Unified => 1,
        };
        self.dual_writer.as_ref()?;
        Some(Arc::clone(&self.engines.get(index)?.store))
    }

    /// Commits what is queued and waits for it. Later writes are refused.
    pub async fn shutdown(&self) {
        if let Some(dual_writer) = &self.dual_writer
            && let Err(error) = dual_writer.close().await
        {
            tracing::warn!(%error, "other processes will wait for this one once");
        }
        for engine in &self.engines {
            engine.group_commit.shutdown().await;
        }
    }
}
