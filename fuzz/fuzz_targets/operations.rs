//! Random operations on the key-value backend beside the specification: every answer is compared.
#![no_main]

use std::sync::Arc;

use backend_kv::{BTreeEngine, KvBackend};
use conformance::model::Session;
use conformance::ops::ops_from_bytes;
use conformance::{Fixture, Volatile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime starts").block_on(replay(bytes));
});

async fn replay(bytes: &[u8]) {
    let harness = Volatile::new(|clock| {
        KvBackend::open(BTreeEngine::new(), clock).expect("an empty store opens")
    });
    let mut session = Session::open(Fixture::new(Arc::new(harness))).await;
    if let Err(mismatch) = session.replay(&ops_from_bytes(bytes)).await {
        panic!("{mismatch}");
    }
}
