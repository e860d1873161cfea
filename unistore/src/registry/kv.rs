use std::path::PathBuf;
use std::sync::Arc;

use backend_kv::{KvBackend, KvEngine};
use storage_core::{Error, ErrorKind, Result, StorageBackend, SystemClock};

use super::path::path;
use crate::StoreUrl;

/// How an engine opens its file or folder. Blocks.
type OpenEngine<E> = fn(PathBuf) -> Result<E>;

pub(super) async fn open<E: KvEngine>(
    url: StoreUrl,
    engine: OpenEngine<E>,
) -> Result<Arc<dyn StorageBackend>> {
    Ok(Arc::new(backend(url, engine).await?))
}

pub(super) async fn check<E: KvEngine>(
    url: StoreUrl,
    engine: OpenEngine<E>,
) -> Result<Vec<String>> {
    let report = backend(url, engine).await?.check().await?;
    let disagreements = report.disagreements.iter();
    Ok(disagreements.map(ToString::to_string).collect())
}

async fn backend<E: KvEngine>(url: StoreUrl, engine: OpenEngine<E>) -> Result<KvBackend<E>> {
    let path = path(&url)?;
    let open = move || KvBackend::open(engine(path)?, Arc::new(SystemClock));
    let opened = tokio::task::spawn_blocking(open).await;
    opened.map_err(|panic| {
        Error::new(ErrorKind::Internal, "open store", "opening panicked").with_source(panic)
    })?
}
