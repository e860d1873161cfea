//! The cases, by topic. The list of all of them is in `suite.rs`.

pub mod commit;
pub mod list;
pub mod precondition;
pub mod read;
