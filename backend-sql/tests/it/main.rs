//! Tests of what is particular to SQL stores. What every store promises is in the conformance
//! suite.
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

mod engines;
mod stores;

mod cost;
mod names;
mod opening;
mod schema;

#[cfg(any(feature = "postgres", feature = "mysql"))]
mod away;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod broken_off;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod idle;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod lost_commit;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod outage;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod proxy;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod refusals;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod servers;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod two_processes;
