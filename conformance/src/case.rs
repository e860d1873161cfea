//! The cases, by topic. The list of all of them is in `suite.rs`.

pub mod beside;
pub mod bytes;
pub mod changes;
pub mod commit;
pub mod compact;
pub mod concurrent;
pub mod durable;
pub mod handles;
pub mod history;
pub mod internal;
pub mod keys;
pub mod limits;
pub mod list;
pub mod paging;
pub mod precondition;
pub mod random;
pub mod read;
pub mod stats;
pub mod trash;
pub mod watch;
