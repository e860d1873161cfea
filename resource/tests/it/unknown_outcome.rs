//! What a client is told when the store cannot say whether a write was made.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use resource::{Effect, Reason};
use storage_core::{
    BackendInfo, Changes, ChangesQuery, Compacted, Error, ErrorKind, ListQuery, ManualClock,
    Memory, Outcome, Page, ResourceKey, ResourceStats, Result, Retention, Revision, Scope,
    StorageBackend, Stored, Transaction,
};

use crate::support::{START, World, folder, refused};

const HEALTHY: u8 = 0;
const FAILS_BEFORE: u8 = 1;
const FAILS_AFTER: u8 = 2;

/// Loses the answer of the next commit, before or after its effect.
#[derive(Debug)]
struct Forgetful {
    store: Memory,
    next: AtomicU8,
}

#[async_trait]
impl StorageBackend for Forgetful {
    fn info(&self) -> &BackendInfo {
        self.store.info()
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Result<Vec<Outcome>> {
        let unknown = || {
            Err(Error::new(
                ErrorKind::Indeterminate,
                "commit",
                "connection lost",
            ))
        };
        match self.next.swap(HEALTHY, Ordering::SeqCst) {
            FAILS_BEFORE => unknown(),
            FAILS_AFTER => {
                self.store.commit(transactions).await?;
                unknown()
            }
            _ => self.store.commit(transactions).await,
        }
    }

    async fn get(&self, key: &ResourceKey, at: Option<Revision>) -> Result<Option<Stored>> {
        self.store.get(key, at).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page> {
        self.store.list(query).await
    }

    async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        self.store.changes(query).await
    }

    async fn compact(&self, policy: &Retention) -> Result<Compacted> {
        self.store.compact(policy).await
    }

    async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        self.store.stats(scope).await
    }

    fn head(&self) -> tokio::sync::watch::Receiver<Revision> {
        self.store.head()
    }
}

fn forgetful() -> (World, Arc<Forgetful>) {
    let clock = Arc::new(ManualClock::new(START));
    let store = Arc::new(Forgetful {
        store: Memory::with_clock(clock.clone()),
        next: AtomicU8::new(HEALTHY),
    });
    (World::on(store.clone(), clock), store)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_made_is_recognised() {
    let (world, store) = forgetful();
    store.next.store(FAILS_AFTER, Ordering::SeqCst);
    let created = world.create(&folder("a")).await.unwrap();
    assert_eq!(
        (created.effect, created.object.revision().get()),
        (Effect::Created, 1)
    );
    store.next.store(FAILS_AFTER, Ordering::SeqCst);
    assert_eq!(world.retitle("a", "b").await.revision().get(), 2);
    store.next.store(FAILS_AFTER, Ordering::SeqCst);
    world.delete("a").await.unwrap();
    assert_eq!(world.get("a").await.unwrap_err().reason(), Reason::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_not_found_has_an_unknown_outcome() {
    let (world, store) = forgetful();
    store.next.store(FAILS_BEFORE, Ordering::SeqCst);
    let failure = refused(
        world.create(&folder("a")).await,
        Reason::Timeout,
        "Timeout: the outcome of the write is unknown: it may or may not have been made; \
         read the object before trying again",
    );
    assert_eq!(failure.details().retry_after_seconds, None);
    assert_eq!(
        world.create(&folder("a")).await.unwrap().effect,
        Effect::Created
    );
}
