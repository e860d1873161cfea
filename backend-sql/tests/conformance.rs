//! The conformance suite on each engine.

#[path = "it/stores.rs"]
mod stores;

#[cfg(feature = "sqlite")]
conformance::suite!(sqlite, stores::Sqlite::new());

#[cfg(feature = "postgres")]
conformance::suite!(postgres, stores::Postgres::new());

#[cfg(feature = "mysql")]
conformance::suite!(mysql, stores::Mysql::new());
