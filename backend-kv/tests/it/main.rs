//! What the conformance suite cannot ask: files, damage, refusals.
#![allow(clippy::unwrap_used, reason = "test code")]

mod damage;
mod format;
#[cfg(all(feature = "redb", feature = "sled"))]
mod opening;
mod refusal;
mod rows;
