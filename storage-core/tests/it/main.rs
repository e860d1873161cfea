//! The tests of the watch stream and the layers.

#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

mod change_cache;
mod double;
mod fixture;
mod group_commit;
mod observe;
mod watch;
