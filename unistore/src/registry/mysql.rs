use std::sync::Arc;

use backend_sql::{MysqlBackend, SqlOptions};
use futures::FutureExt;
use storage_core::{Result, StorageBackend, SystemClock};

use super::Engine;
use crate::StoreUrl;

pub(super) const ENGINE: Engine = Engine {
    scheme: "mysql",
    form: "mysql://USER@HOST/DATABASE",
    embedded: false,
    about: "MySQL or MariaDB; any number of servers on one database",
    open: |url| open(url).boxed(),
    check: None,
};

async fn open(url: StoreUrl) -> Result<Arc<dyn StorageBackend>> {
    // The scheme may be an alias.
    let url = format!("mysql:{}", url.rest());
    let options = SqlOptions::default();
    let store = MysqlBackend::open(&url, &options, Arc::new(SystemClock)).await?;
    Ok(Arc::new(store))
}
