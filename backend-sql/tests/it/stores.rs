//! Stores of their own for each test.
#![allow(dead_code, reason = "each test program uses its share of it")]
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

use std::sync::Arc;

use async_trait::async_trait;
use backend_sql::SqlOptions;
#[cfg(feature = "sqlite")]
use backend_sql::SqliteBackend;
use conformance::{Declared, Harness};
use storage_core::{Clock, Result, StorageBackend};
use tempfile::TempDir;

/// A store in a file of a folder of its own.
#[cfg(feature = "sqlite")]
#[derive(Debug)]
pub(crate) struct Sqlite {
    folder: TempDir,
}

#[cfg(feature = "sqlite")]
impl Sqlite {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("store.db").display())
    }
}

#[cfg(feature = "sqlite")]
#[async_trait]
impl Harness for Sqlite {
    async fn open(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn StorageBackend>> {
        let store = SqliteBackend::open(&self.url(), &SqlOptions::default(), clock).await?;
        Ok(Arc::new(store))
    }

    fn declared(&self) -> Declared {
        Declared::EMBEDDED
    }
}
