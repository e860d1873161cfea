//! Tests of the dual writer as its users see it.
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

mod cells;
mod conformance;
mod copying;
mod found;
mod gates;
mod late;
mod outdated;
mod overtaken;
mod process;
mod rig;
mod table;
mod transitions;
