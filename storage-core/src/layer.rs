//! Layers: backends made of another backend. None knows an engine.
//!
//! From the outside in: `GroupCommit` is the innermost, so that everything above it shares its
//! commits.

mod group_commit;

pub use group_commit::{GroupCommit, GroupCommitLimits};
