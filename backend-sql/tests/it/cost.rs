//! What requests cost does not grow with the history.

use std::sync::Arc;
use std::time::Duration;

use storage_core::{
    ChangesQuery, ListQuery, Precondition, Revision, Scope, StorageBackend, StorageBackendExt,
    Transaction,
};
use tokio::time::Instant;

use crate::engines::{key, on_each_engine, open, remove_after};
use crate::stores::Store;

/// How many objects the large store has; `UNISTORE_TEST_COST_OBJECTS` sets another number.
const OBJECTS: usize = 5_000;
/// How many revisions each object has.
const REVISIONS: usize = 10;
/// How many times as many objects the large store has.
const FACTOR: usize = 100;
/// Transactions of one commit while a store is filled.
const BATCH: usize = 1_000;
/// How often each request is measured on each store, in turns.
const SAMPLES: usize = 60;
/// Twice as many levels of an index cost more than one, but not this much more. The machine is
/// shared, so even the middle of many measurements moves.
const RATIO_MAX: f64 = 3.0;

on_each_engine! {
    requests_cost_the_same_on_a_long_history
}

async fn requests_cost_the_same_on_a_long_history<S: Store>(large: Arc<S>) {
    let small = Arc::new(S::default());
    remove_after(Arc::clone(&small), compare(small, large)).await;
}

async fn compare<S: Store>(small: Arc<S>, large: Arc<S>) {
    let objects = std::env::var("UNISTORE_TEST_COST_OBJECTS").ok();
    let objects = objects
        .and_then(|text| text.parse().ok())
        .unwrap_or(OBJECTS);
    let sizes = [objects / FACTOR, objects];
    let stores = [open(&*small).await, open(&*large).await];
    for (store, objects) in stores.iter().zip(sizes) {
        fill(&**store, objects).await;
    }
    let mut samples: Vec<[Vec<Duration>; 2]> = vec![[Vec::new(), Vec::new()]; REQUESTS.len()];
    for round in 0..SAMPLES {
        for (which, (store, objects)) in stores.iter().zip(sizes).enumerate() {
            for (request, samples) in REQUESTS.iter().zip(&mut samples) {
                let number = round * 7919 % objects;
                samples[which].push(measure(&**store, *request, round, number).await);
            }
        }
    }
    for (request, samples) in REQUESTS.iter().zip(samples) {
        let [small, large] = samples.map(median);
        let ratio = large.as_secs_f64() / small.as_secs_f64();
        println!(
            "{}: {request:?} at {} revisions {small:?}, at {} {large:?}: {ratio:.2}",
            stores[0].info().engine,
            sizes[0] * REVISIONS,
            sizes[1] * REVISIONS,
        );
        assert!(
            ratio < RATIO_MAX,
            "{request:?} costs {ratio:.2} times as much"
        );
    }
}

#[derive(Clone, Copy, Debug)]
enum Request {
    Get,
    GetAtRevision,
    ListPage,
    Create,
    Update,
    Changes,
}

const REQUESTS: [Request; 6] = [
    Request::Get,
    Request::GetAtRevision,
    Request::ListPage,
    Request::Create,
    Request::Update,
    Request::Changes,
];

async fn measure(
    store: &dyn StorageBackend,
    request: Request,
    round: usize,
    number: usize,
) -> Duration {
    let object = key("cost", &format!("{number:07}"));
    let head = *store.head().borrow();
    let recent = Revision::new(head.get() - 20);
    let start = Instant::now();
    match request {
        Request::Get => drop(store.get(&object, None).await.unwrap().unwrap()),
        Request::GetAtRevision => {
            let old = Revision::new(head.get() * 2 / 3);
            drop(store.get(&object, Some(old)).await.unwrap().unwrap());
        }
        Request::ListPage => {
            let page = ListQuery::live(Scope::namespace("example.com", "things", "cost"));
            assert_eq!(store.list(&page.limit(50)).await.unwrap().items.len(), 50);
        }
        Request::Create => {
            let new = key("new", &format!("{round}"));
            store.create(new, "1".into()).await.unwrap();
        }
        Request::Update => {
            let put = Transaction::put(object, Precondition::Present, "1");
            assert!(store.commit_one(put).await.unwrap().revision().is_some());
        }
        Request::Changes => {
            let query = ChangesQuery::new(Scope::resource("example.com", "things"), recent);
            assert!(!store.changes(&query).await.unwrap().changes.is_empty());
        }
    }
    start.elapsed()
}

async fn fill(store: &dyn StorageBackend, objects: usize) {
    for _ in 0..REVISIONS {
        let puts: Vec<_> = (0..objects)
            .map(|number| key("cost", &format!("{number:07}")))
            .map(|key| Transaction::put(key, Precondition::Any, vec![b'v'; 300]))
            .collect();
        for batch in puts.chunks(BATCH) {
            store.commit(batch.to_vec()).await.unwrap();
        }
    }
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort();
    samples[samples.len() / 2]
}
