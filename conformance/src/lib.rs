//! The conformance suite of storage backends, the operation model and the faulty backend.
//!
//! Each bullet of a `# Behaviour` section of [`StorageBackend`](storage_core::StorageBackend) is a
//! case here, and every backend, bare and under layers, runs all of them:
//!
//! ```
//! use conformance::Volatile;
//! use storage_core::Memory;
//!
//! conformance::suite!(memory, Volatile::new(Memory::with_clock));
//! # fn main() {}
//! ```
//!
//! makes one `#[test]` per case in a module of that name, so that
//! `cargo test memory::stale_update_conflicts` works; `suite_layered!` does so for the backend bare
//! and under layers. A backend is described to the suite by a
//! [`Harness`]. What a backend cannot do is declared there ([`Declared`]); a case then asserts
//! what was declared, it is never skipped.
//!
//! [`ops`] and [`model`] replay random operations on a backend beside
//! [`Memory`](storage_core::Memory); [`Faulty`] fails where it is told to. [`durability`] kills
//! processes and cuts the power.
#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

mod faulty;
mod fixture;
mod harness;
mod layered;
mod suite;

pub mod check;
pub mod durability;
pub mod linearizability;
pub mod model;
pub mod ops;
pub mod revisions;
pub mod step;
pub mod traffic;

#[doc(hidden)]
pub mod case;

pub use faulty::{Fault, Faults, Faulty, Gate, Operation, Rates};
pub use fixture::Fixture;
pub use harness::{Declared, Harness, Reopening, SecondOpen, Volatile};
pub use layered::{Layered, Wrap, group_commit, layers};
pub use step::Backend;
pub use suite::{CASES, run};
