use std::sync::Arc;
use std::time::Duration;

use storage_core::{
    ListQuery, ManualClock, Memory, Precondition, ResourceKey, Retention, Scope, StorageBackendExt,
    Timestamp, Transaction,
};
use unistore::retention::tidy;

#[tokio::test(flavor = "multi_thread")]
async fn a_round_takes_as_many_steps_as_it_needs() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000)));
    let store = Memory::with_clock(clock.clone());
    let key = ResourceKey::new("g", "things", "default", "a").unwrap();
    for n in 0..50 {
        let put = Transaction::put(key.clone(), Precondition::Any, format!("{n}"));
        store.commit_one(put).await.unwrap();
    }
    clock.advance(Duration::from_secs(60));
    let policy = Retention {
        changes_age_min: Duration::ZERO,
        changes_age_max: Some(Duration::from_secs(1)),
        history_per_object: Some(3),
        step_max: 4,
        ..Retention::default()
    };
    let done = tidy(&store, &policy).await.unwrap();
    assert!(!done.more);
    assert_eq!(done.changes, 50);
    let history = ListQuery::history(Scope::All, storage_core::Order::Ascending);
    assert_eq!(store.list_all(history).await.unwrap().len(), 3);
}
