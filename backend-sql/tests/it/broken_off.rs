//! Reads whose caller goes away leave nothing behind for those who come after.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use storage_core::{
    ListQuery, Precondition, Scope, StorageBackend, StorageBackendExt, Transaction,
};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use crate::engines::{key, on_each_server, open};
use crate::stores::Store;

/// How many reads are broken off.
const READS: u32 = 300;
/// How much later each is broken off than the one before.
const STEP: Duration = Duration::from_micros(7);
/// How many reads come after each: more than there are connections.
const AFTER: usize = 12;
/// What takes longer than this never ends.
const PATIENCE: Duration = Duration::from_secs(60);

on_each_server! {
    a_read_that_is_broken_off_leaves_nothing_behind
}

async fn a_read_that_is_broken_off_leaves_nothing_behind<S: Store>(store: Arc<S>) {
    let store = open(&*store).await;
    let object = key("", "a");
    let list = ListQuery::live(Scope::resource("example.com", "things"));
    for read in 0..READS {
        {
            let reading = store.list(&list);
            tokio::pin!(reading);
            let end = Instant::now() + STEP * read;
            while Instant::now() < end && futures::poll!(reading.as_mut()).is_pending() {
                yield_now().await;
            }
        }
        let value = read.to_string();
        let put = Transaction::put(object.clone(), Precondition::Any, value.clone());
        let written = timeout(PATIENCE, store.commit_one(put)).await;
        let revision = written.expect("a write has a connection").unwrap();
        let revision = revision.revision().unwrap();
        let lists = (0..AFTER).map(|_| store.list(&list));
        let lists = timeout(PATIENCE, join_all(lists)).await;
        for page in lists.expect("reads have connections") {
            let page = page.unwrap();
            assert!(page.revision >= revision, "read {read}: an old snapshot");
            assert_eq!(page.items[0].value, value, "read {read}");
        }
    }
}
