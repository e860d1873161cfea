//! Tests with real processes of the binary: several on one store, killed, cut off from their
//! database. Clients speak HTTPS to them, write down what they asked and were told, and the stores'
//! histories must explain it.
//!
//! They are cheap by default; larger runs by the environment, as `docs/durability.md` tells.
#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test says that it failed"
)]

#[path = "../it/support"]
#[allow(dead_code, reason = "the other test binary uses all of it")]
mod support {
    pub(crate) mod client;
    pub(crate) mod server;
    pub(crate) mod stores;
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
#[path = "../../../backend-sql/tests/it/servers.rs"]
mod servers;

mod actor;
mod ending;
mod explain;
mod follow;
mod process;
mod record;
mod rounds;
mod unseen;

#[cfg(all(feature = "sqlite", feature = "redb"))]
mod bulk;
mod kill;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod outage;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod race;
#[cfg(all(feature = "postgres", feature = "mysql"))]
mod walk;
