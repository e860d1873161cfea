//! The conformance suite on each engine.

#[path = "it/stores.rs"]
mod stores;

#[cfg(feature = "sqlite")]
conformance::suite!(sqlite, stores::Sqlite::new());
