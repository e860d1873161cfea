//! The conformance suite on every engine, bare and under layers.
#![allow(clippy::unwrap_used, reason = "test code")]

#[cfg(any(feature = "redb", feature = "sled"))]
mod folder;
#[cfg(feature = "redb")]
mod on_redb;
#[cfg(feature = "sled")]
mod on_sled;

use backend_kv::{BTreeEngine, KvBackend};
use conformance::Volatile;

conformance::suite_layered!(
    btree,
    Volatile::new(|clock| KvBackend::open(BTreeEngine::new(), clock).unwrap())
);

#[cfg(feature = "redb")]
conformance::suite_layered!(redb, folder::Folder::new(on_redb::open));

#[cfg(feature = "sled")]
conformance::suite_layered!(sled, folder::Folder::new(on_sled::open));
