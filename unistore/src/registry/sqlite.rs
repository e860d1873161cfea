use std::sync::Arc;

use backend_sql::{SqlOptions, SqliteBackend};
use futures::FutureExt;
use storage_core::{Result, StorageBackend, SystemClock};

use super::Engine;
use super::path::path;
use crate::StoreUrl;

pub(super) const ENGINE: Engine = Engine {
    scheme: "sqlite",
    form: "sqlite:PATH",
    embedded: true,
    about: "one file of SQLite, embedded",
    open: |url| open(url).boxed(),
    check: None,
};

async fn open(url: StoreUrl) -> Result<Arc<dyn StorageBackend>> {
    path(&url)?;
    let options = SqlOptions::default();
    let store = SqliteBackend::open(url.secret(), &options, Arc::new(SystemClock)).await?;
    Ok(Arc::new(store))
}
