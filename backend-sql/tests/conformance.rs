//! The conformance suite on each engine.

#[path = "it/stores.rs"]
mod stores;

#[cfg(feature = "sqlite")]
conformance::suite_layered!(sqlite, stores::Sqlite::default());

#[cfg(feature = "postgres")]
conformance::suite_layered!(postgres, stores::Postgres::default());

#[cfg(feature = "mysql")]
conformance::suite_layered!(mysql, stores::Mysql::default());
