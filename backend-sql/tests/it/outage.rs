//! The database goes away while it is written to, and comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backend_sql::SqlOptions;
use futures::future::join_all;
use parking_lot::Mutex;
use storage_core::{
    Error, ErrorKind, ResourceKey, Revision, StorageBackend, StorageBackendExt, SystemClock,
};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::engines::key;
use crate::servers::{Kind, OwnServer};
use crate::stores::open_url;

const WRITERS: usize = 4;
/// How often the server is stopped; `UNISTORE_TEST_OUTAGE_ROUNDS` sets another number.
const ROUNDS: usize = 3;
/// Writes that are acknowledged between two outages.
const WRITES_PER_ROUND: usize = 40;
/// A store that is not back by then never will be.
const PATIENCE: Duration = Duration::from_secs(120);

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_stopped_while_it_is_written_to() {
    stopped_while_it_is_written_to(Kind::Postgres).await;
}

#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread")]
async fn mysql_is_killed_while_it_is_written_to() {
    stopped_while_it_is_written_to(Kind::Mysql).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_server_that_may_lose_writes_is_refused() {
    for settings in [["-c", "fsync=off"], ["-c", "full_page_writes=off"]] {
        let server = OwnServer::start(Kind::Postgres, &settings).await;
        let error = refused(&server).await;
        assert!(
            error.to_string().contains("could lose acknowledged writes"),
            "{error}"
        );
    }
    let server = OwnServer::start(Kind::Postgres, &["-c", "synchronous_commit=off"]).await;
    let store = open_url(&server.url(), &options(), Arc::new(SystemClock)).await;
    store.expect("it is set to on for each connection");
}

#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread")]
async fn a_mysql_server_that_may_lose_writes_is_refused() {
    let setting = "--innodb-flush-log-at-trx-commit=2";
    let server = OwnServer::start(Kind::Mysql, &[setting]).await;
    let error = refused(&server).await;
    assert!(
        error.to_string().contains("could lose acknowledged writes"),
        "{error}"
    );
    drop(server);
    let server = OwnServer::start(Kind::Mysql, &["--max-allowed-packet=1M"]).await;
    let error = refused(&server).await;
    assert!(
        error.to_string().contains("max_allowed_packet = 1048576"),
        "{error}"
    );
}

async fn refused(server: &OwnServer) -> Error {
    let opened = open_url(&server.url(), &options(), Arc::new(SystemClock)).await;
    let error = opened.expect_err("it is refused");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    error
}

fn options() -> SqlOptions {
    SqlOptions {
        acquire_timeout: Duration::from_secs(2),
        ..crate::stores::options()
    }
}

/// What the writers were told.
#[derive(Debug, Default)]
struct Told {
    acknowledged: Mutex<BTreeMap<ResourceKey, Revision>>,
    refused: Mutex<Vec<ResourceKey>>,
    unknown: Mutex<Vec<ResourceKey>>,
    progress: watch::Sender<usize>,
}

async fn stopped_while_it_is_written_to(kind: Kind) {
    let mut server = OwnServer::start(kind, &[]).await;
    let clock = Arc::new(SystemClock);
    let writing = open_url(&server.url(), &options(), clock.clone())
        .await
        .unwrap();
    let watching = open_url(&server.url(), &options(), clock).await.unwrap();
    let told = Arc::new(Told::default());
    let (stop, stopped) = watch::channel(false);
    let writers = (0..WRITERS).map(|writer| {
        let (store, told) = (Arc::clone(&writing), Arc::clone(&told));
        tokio::spawn(write(store, told, writer, stopped.clone()))
    });
    let writers: Vec<_> = writers.collect();
    let mut back_after = Vec::new();
    for _ in 0..rounds() {
        progress(&told).await;
        server.stop_at_once();
        server.start_again().await;
        let is_up = Instant::now();
        progress(&told).await;
        back_after.push(is_up.elapsed());
    }
    stop.send(true).unwrap();
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    check(&*writing, &*watching, &told).await;
    println!(
        "{kind:?}: {} rounds, {} acknowledged, {} refused, {} unknown; {WRITES_PER_ROUND} more \
         writes after the server was up: {back_after:?}",
        rounds(),
        told.acknowledged.lock().len(),
        told.refused.lock().len(),
        told.unknown.lock().len(),
    );
}

fn rounds() -> usize {
    let rounds = std::env::var("UNISTORE_TEST_OUTAGE_ROUNDS").ok();
    rounds.and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}

/// Waits until some more writes are acknowledged.
async fn progress(told: &Told) {
    let mut acknowledged = told.progress.subscribe();
    let goal = *acknowledged.borrow() + WRITES_PER_ROUND;
    let reached = acknowledged.wait_for(|acknowledged| *acknowledged >= goal);
    timeout(PATIENCE, reached)
        .await
        .expect("writes go on")
        .unwrap();
}

async fn write(
    store: Arc<dyn StorageBackend>,
    told: Arc<Told>,
    writer: usize,
    stopped: watch::Receiver<bool>,
) {
    for number in 0.. {
        if *stopped.borrow() {
            return;
        }
        let key = key(&format!("of-{writer}"), &format!("{number:06}"));
        match store.create(key.clone(), "1".into()).await {
            Ok(revision) => {
                told.acknowledged.lock().insert(key, revision);
                told.progress.send_modify(|acknowledged| *acknowledged += 1);
            }
            Err(error) => match error.kind() {
                ErrorKind::Unavailable | ErrorKind::Overloaded => told.refused.lock().push(key),
                ErrorKind::Indeterminate => told.unknown.lock().push(key),
                _ => panic!("{error:?}"),
            },
        }
    }
}

async fn check(writing: &dyn StorageBackend, watching: &dyn StorageBackend, told: &Told) {
    let acknowledged = told.acknowledged.lock().clone();
    for (key, revision) in &acknowledged {
        let stored = writing.get(key, None).await.unwrap();
        let stored = stored.unwrap_or_else(|| panic!("{key} was acknowledged and is lost"));
        assert_eq!(stored.revision, *revision);
    }
    let refused = told.refused.lock().clone();
    for key in refused {
        let stored = writing.get(&key, None).await.unwrap();
        assert!(stored.is_none(), "{key} was refused and is there");
    }
    let revision = writing
        .create(key("", "the last"), "1".into())
        .await
        .unwrap();
    let mut head = watching.head();
    let told = timeout(PATIENCE, head.wait_for(|head| *head >= revision)).await;
    told.expect("the other process hears of commits again")
        .unwrap();
}
