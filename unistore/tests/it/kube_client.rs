//! The `kube` crate as a second client.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::reflector::store::Writer;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::support::client::{client, playlist, playlist_resource, playlists};
use crate::support::server::Server;
use crate::support::stores::{Store, engines};

/// How long an event may take on a busy machine before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_created_listed_patched_and_deleted() {
    let store = Store::new(&engines()[0]);
    let server = Server::start(&store.url, &store.data());
    let api = playlists(client(&server).await);
    for name in ["a", "b", "c"] {
        let created = api
            .create(&PostParams::default(), &playlist(name, "one"))
            .await
            .unwrap();
        assert_eq!(created.name_any(), name);
        assert!(created.uid().is_some() && created.resource_version().is_some());
    }
    let taken = api
        .create(&PostParams::default(), &playlist("a", "two"))
        .await;
    assert!(matches!(taken, Err(kube::Error::Api(status)) if status.code == 409));
    // Two pages of one list.
    let first = api.list(&ListParams::default().limit(2)).await.unwrap();
    let token = first.metadata.continue_.clone().unwrap();
    let second = api
        .list(&ListParams::default().limit(2).continue_token(&token))
        .await
        .unwrap();
    let names: Vec<_> = first
        .iter()
        .chain(second.iter())
        .map(ResourceExt::name_any)
        .collect();
    assert_eq!(names, ["a", "b", "c"]);

    let patch = Patch::Merge(json!({"spec": {"title": "two"}}));
    let patched = api
        .patch("a", &PatchParams::default(), &patch)
        .await
        .unwrap();
    assert_eq!(patched.data["spec"]["title"], "two");
    assert_eq!(patched.data["spec"]["interval"], "5m");

    let mut stale = api.get("b").await.unwrap();
    stale.data["spec"]["title"] = json!("newer");
    api.replace("b", &PostParams::default(), &stale)
        .await
        .unwrap();
    let lost = api.replace("b", &PostParams::default(), &stale).await;
    assert!(matches!(lost, Err(kube::Error::Api(status)) if status.code == 409));

    api.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(
        api.get_opt("a")
            .await
            .unwrap()
            .map(|found| found.name_any()),
        None
    );
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_every_change_in_order() {
    let store = Store::new(&engines()[0]);
    let server = Server::start(&store.url, &store.data());
    let api = playlists(client(&server).await);
    api.create(&PostParams::default(), &playlist("before", "x"))
        .await
        .unwrap();
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        let mut events = watcher(api.clone(), config).boxed();
        let mut seen = Vec::new();
        let mut next = async |until: &str| {
            while seen.last().is_none_or(|last| last != until) {
                let event = tokio::time::timeout(PATIENCE, events.try_next()).await;
                seen.push(match event.unwrap().unwrap().unwrap() {
                    watcher::Event::Init => "init".to_owned(),
                    watcher::Event::InitApply(object) => format!("initial {}", object.name_any()),
                    watcher::Event::InitDone => "ready".to_owned(),
                    watcher::Event::Apply(object) => format!("applied {}", object.name_any()),
                    watcher::Event::Delete(object) => format!("deleted {}", object.name_any()),
                });
            }
        };
        next("ready").await;
        api.create(&PostParams::default(), &playlist("now", "x"))
            .await
            .unwrap();
        let patch = Patch::Merge(json!({"spec": {"title": "y"}}));
        api.patch("now", &PatchParams::default(), &patch)
            .await
            .unwrap();
        api.delete("now", &DeleteParams::default()).await.unwrap();
        next("deleted now").await;
        assert_eq!(
            seen,
            [
                "init",
                "initial before",
                "ready",
                "applied now",
                "applied now",
                "deleted now"
            ]
        );
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reflector_has_what_the_server_has_across_a_restart() {
    let store = Store::new(&engines()[0]);
    let server = Server::start(&store.url, &store.data());
    let address = server.url.strip_prefix("https://").unwrap().to_owned();
    let api = playlists(client(&server).await);
    let writer = Writer::new(playlist_resource());
    let reader = writer.as_reader();
    let stream = watcher(api.clone(), watcher::Config::default()).default_backoff();
    let reflecting = tokio::spawn(async move {
        let mut events = reflector(writer, stream).boxed();
        // Errors while the server is away are part of the test.
        while events.next().await.is_some() {}
    });
    create_and_await(&api, &reader, "first").await;
    server.stop();
    let listen = ["--listen", address.as_str()];
    let server = Server::start_with(&store.url, &store.data(), &listen);
    create_and_await(&api, &reader, "second").await;
    let mut names: Vec<_> = reader
        .state()
        .iter()
        .map(|object| object.name_any())
        .collect();
    names.sort();
    assert_eq!(names, ["first", "second"]);
    reflecting.abort();
    server.stop();
}

type Reader = reflector::Store<kube::api::DynamicObject>;

async fn create_and_await(api: &Api<kube::api::DynamicObject>, reader: &Reader, name: &str) {
    api.create(&PostParams::default(), &playlist(name, "x"))
        .await
        .unwrap();
    let key = reflector::ObjectRef::new_with(name, playlist_resource()).within("default");
    let arrived = async {
        while reader.get(&key).is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, arrived).await.unwrap();
}
