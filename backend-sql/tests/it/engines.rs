//! One test on each engine.

use std::sync::Arc;

use conformance::Harness;
use storage_core::{ResourceKey, StorageBackend, SystemClock};

use crate::stores;

/// Makes a test for each engine of a function that takes a store's harness.
macro_rules! on_each_engine {
    ($($test:ident)*) => {
        $(mod $test {
            use crate::stores;

            #[cfg(feature = "sqlite")]
            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                crate::engines::run(stores::Sqlite::default(), super::$test).await;
            }

            #[cfg(feature = "postgres")]
            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                crate::engines::run(stores::Postgres::default(), super::$test).await;
            }

            #[cfg(feature = "mysql")]
            #[tokio::test(flavor = "multi_thread")]
            async fn mysql() {
                crate::engines::run(stores::Mysql::default(), super::$test).await;
            }
        })*
    };
}

/// Makes a test for each server of a function that takes a store's harness.
#[cfg(any(feature = "postgres", feature = "mysql"))]
macro_rules! on_each_server {
    ($($test:ident)*) => {
        $(mod $test {
            use crate::stores;

            #[cfg(feature = "postgres")]
            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                crate::engines::run(stores::Postgres::default(), super::$test).await;
            }

            #[cfg(feature = "mysql")]
            #[tokio::test(flavor = "multi_thread")]
            async fn mysql() {
                crate::engines::run(stores::Mysql::default(), super::$test).await;
            }
        })*
    };
}

pub(crate) use on_each_engine;
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(crate) use on_each_server;

/// Runs a test on a new store and removes the store, also when the test failed.
pub(crate) async fn run<S, F>(store: S, test: impl FnOnce(Arc<S>) -> F)
where
    S: stores::Store,
    F: Future<Output = ()> + Send + 'static,
{
    let store = Arc::new(store);
    remove_after(Arc::clone(&store), test(store)).await;
}

/// Removes a store after a test, also when it failed.
pub(crate) async fn remove_after<S, F>(store: Arc<S>, test: F)
where
    S: stores::Store,
    F: Future<Output = ()> + Send + 'static,
{
    let result = tokio::spawn(test).await;
    store.remove().await;
    if let Err(error) = result {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Opens a store.
pub(crate) async fn open(store: &impl Harness) -> Arc<dyn StorageBackend> {
    store.open(Arc::new(SystemClock)).await.unwrap()
}

/// Returns the key of an object.
pub(crate) fn key(namespace: &str, name: &str) -> ResourceKey {
    ResourceKey::new("example.com", "things", namespace, name).unwrap()
}
