//! Storage on ordered key-value engines: redb, sled and memory.
//!
//! One algorithm, [`KvBackend`], over a small blocking trait, [`KvEngine`]. Read in this order:
//! `engine` is what an engine must give, `keyspace` is where every row is, `record` is what a row
//! holds, `store` is the one writer; then a file per operation: `commit`, `get`, `list`,
//! `changes`, `compact`, `stats`, and `check`, which verifies a whole store.

#[cfg(any(feature = "redb", feature = "sled"))]
mod durable_fs;
mod engine;
mod format;
mod keyspace;
#[cfg(any(feature = "redb", feature = "sled"))]
mod process_lock;
mod record;
mod store;

mod changes;
mod check;
mod commit;
mod compact;
mod get;
mod list;
mod stats;

mod backend;
mod blocking;

pub use backend::KvBackend;
pub use check::{CheckReport, Disagreement};
pub use engine::{BTreeEngine, Batch, Direction, KvEngine, KvView, Visitor, WriteError};
#[cfg(feature = "redb")]
pub use engine::{RedbEngine, RedbOptions};
#[cfg(feature = "sled")]
pub use engine::{SledEngine, SledOptions, SledSync};
