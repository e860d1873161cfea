use std::sync::Arc;

use backend_sql::{PostgresBackend, SqlOptions};
use futures::FutureExt;
use storage_core::{Result, StorageBackend, SystemClock};

use super::Engine;
use crate::StoreUrl;

pub(super) const ENGINE: Engine = Engine {
    scheme: "postgres",
    form: "postgres://USER@HOST/DATABASE",
    embedded: false,
    about: "PostgreSQL; any number of servers on one database",
    open: |url| open(url).boxed(),
    check: None,
};

async fn open(url: StoreUrl) -> Result<Arc<dyn StorageBackend>> {
    // The scheme may be an alias.
    let url = format!("postgres:{}", url.rest());
    let options = SqlOptions::default();
    let store = PostgresBackend::open(&url, &options, Arc::new(SystemClock)).await?;
    Ok(Arc::new(store))
}
