//! Storage on SQLite, PostgreSQL and MySQL.
//!
//! Each engine is a feature. Schema, statements and algorithms are the same for all, in `store`;
//! an engine adds its connections.

mod options;

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
#[cfg_attr(
    feature = "sqlite",
    allow(dead_code, reason = "each engine uses its share of it")
)]
mod store;

#[cfg(feature = "sqlite")]
mod sqlite;

pub use options::SqlOptions;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteBackend;
