//! Storage on SQLite, PostgreSQL and MySQL.
//!
//! Each engine is a feature. [`SqliteBackend`] is for one process and one file,
//! [`PostgresBackend`] and [`MysqlBackend`] for any number of processes and one database. Schema,
//! statements and algorithms are the same, in `store`; an engine adds its connections.

mod options;

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
#[cfg_attr(
    not(all(feature = "sqlite", feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "each engine uses its share of it")
)]
mod store;

#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(any(feature = "postgres", feature = "mysql"))]
mod server;

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;

#[cfg(test)]
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod plans;

#[cfg(feature = "mysql")]
pub use mysql::MysqlBackend;
pub use options::{SqlOptions, SqliteSync};
#[cfg(feature = "postgres")]
pub use postgres::PostgresBackend;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteBackend;
