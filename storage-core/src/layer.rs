//! Layers: backends made of another backend. None knows an engine.
//!
//! From the outside in: [`Observe`], [`ChangeCache`], [`GroupCommit`], the store. `GroupCommit` is
//! the innermost, so that all that is above it shares its commits.

pub mod observe;

mod change_cache;
mod group_commit;

pub use change_cache::{ChangeCache, ChangeCacheLimits};
pub use group_commit::{GroupCommit, GroupCommitLimits};
pub use observe::Observe;
