//! `kill -9` while clients write: what was acknowledged is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kube::ResourceExt;
use kube::api::{ListParams, PostParams};
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;

use crate::support::client::{client, playlist, playlists};
use crate::support::server::{Server, succeed};
use crate::support::stores::{Store, engines};

const ROUNDS: usize = 5;
const WRITERS: usize = 8;
/// Acknowledged writes of a round before the kill.
const WRITES_PER_ROUND: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_on_every_engine() {
    for engine in engines() {
        println!("on {engine}");
        let store = Store::new(&engine);
        let acknowledged = Arc::new(Mutex::new(BTreeMap::new()));
        for round in 0..ROUNDS {
            let server = Server::start(&store.url, &store.data());
            assert_there(&server, &*acknowledged.lock().await).await;
            write_until_killed(server, round, &acknowledged).await;
        }
        let server = Server::start(&store.url, &store.data());
        assert_there(&server, &*acknowledged.lock().await).await;
        server.stop();
        succeed(&["check", "--store", &store.url]);
    }
}

/// Title and version of each object, by name.
type Acknowledged = BTreeMap<String, (String, u64)>;

async fn write_until_killed(server: Server, round: usize, acknowledged: &Arc<Mutex<Acknowledged>>) {
    let enough = Arc::new(Notify::new());
    let written = Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let api = playlists(client(&server).await);
        let (enough, written) = (enough.clone(), written.clone());
        let acknowledged = acknowledged.clone();
        writers.spawn(async move {
            for n in 0.. {
                let name = format!("r{round}-w{writer}-{n}");
                let created = api
                    .create(&PostParams::default(), &playlist(&name, &name))
                    .await;
                // The server is gone; this write may or may not be there.
                let Ok(created) = created else { return };
                let version = created.resource_version().unwrap().parse().unwrap();
                acknowledged
                    .lock()
                    .await
                    .insert(name.clone(), (name, version));
                if written.fetch_add(1, Ordering::Relaxed) + 1 == WRITES_PER_ROUND {
                    enough.notify_one();
                }
            }
        });
    }
    enough.notified().await;
    server.kill();
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
}

async fn assert_there(server: &Server, acknowledged: &Acknowledged) {
    let api = playlists(client(server).await);
    let list = api.list(&ListParams::default()).await.unwrap();
    let found: BTreeMap<_, _> = list
        .iter()
        .map(|object| {
            let title = object.data["spec"]["title"].as_str().unwrap().to_owned();
            let version: u64 = object.resource_version().unwrap().parse().unwrap();
            (object.name_any(), (title, version))
        })
        .collect();
    for (name, expected) in acknowledged {
        assert_eq!(found.get(name), Some(expected), "{name}");
    }
    // Whatever else is there was written whole and not acknowledged: at most one per writer.
    assert!(found.len() <= acknowledged.len() + ROUNDS * WRITERS);
    let newest = acknowledged.values().map(|(_, version)| *version).max();
    let listed: u64 = list.metadata.resource_version.unwrap().parse().unwrap();
    assert!(newest.is_none_or(|newest| newest <= listed));
}
