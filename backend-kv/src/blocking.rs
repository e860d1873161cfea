//! The only place where calls that block meet the runtime.

use storage_core::{Error, ErrorKind, Result};
use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs a scan or a write on a thread that may block. It runs to its end when the caller goes away.
pub(crate) async fn call<T: Send + 'static>(
    operation: &'static str,
    kind_if_lost: ErrorKind,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let answer = tokio::task::spawn_blocking(work).await;
    answer.unwrap_or_else(|lost| {
        let kind = if lost.is_panic() {
            kind_if_lost
        } else {
            ErrorKind::Unavailable
        };
        Err(Error::new(kind, operation, "the engine did not answer").with_source(lost))
    })
}

/// Runs a read of a few rows. Where the runtime has other threads to go on with it stays on this
/// one: a row in the cache is read in less time than a change of threads takes.
pub(crate) async fn point<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => call(operation, ErrorKind::Internal, work).await,
    }
}
