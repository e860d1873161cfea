//! The conformance suite on each engine.

#[path = "it/stores.rs"]
mod stores;

#[cfg(feature = "sqlite")]
conformance::suite_layered!(sqlite, stores::Sqlite::new());

#[cfg(feature = "postgres")]
conformance::suite_layered!(postgres, stores::Postgres::new());

#[cfg(feature = "mysql")]
conformance::suite_layered!(mysql, stores::Mysql::new());
