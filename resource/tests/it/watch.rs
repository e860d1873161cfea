use std::time::Duration;

use futures::{FutureExt, StreamExt};
use resource::{ListParameters, Object, Reason, Watch, WatchEvent};
use serde_json::{Value, json};
use storage_core::{Retention, StorageBackend};

use crate::support::{FOLDERS, World, folder, refused, selecting, value};

/// Far longer than any event takes, a bookmark too.
const DEADLINE: Duration = Duration::from_secs(120);

async fn watch(world: &World, parameters: &ListParameters) -> Watch {
    world
        .objects
        .watch(&world.folders(), parameters)
        .await
        .unwrap()
}

fn after(version: &str) -> ListParameters {
    ListParameters {
        resource_version: version.into(),
        ..ListParameters::default()
    }
}

fn initial(version: &str) -> ListParameters {
    ListParameters {
        resource_version_match: "NotOlderThan".into(),
        send_initial_events: Some(true),
        allow_watch_bookmarks: true,
        ..after(version)
    }
}

async fn next(watch: &mut Watch) -> WatchEvent {
    let event = tokio::time::timeout(DEADLINE, watch.next()).await;
    event.expect("no event came").expect("the watch ended")
}

/// An event in short: `ADDED a@1`.
fn short(event: &WatchEvent) -> String {
    let word = event.kind();
    match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
            format!("{word} {}@{}", object.name(), object.revision())
        }
        WatchEvent::Bookmark(bookmark) if bookmark.initial_events_end => {
            format!("{word} end@{}", bookmark.revision)
        }
        WatchEvent::Bookmark(bookmark) => format!("{word} @{}", bookmark.revision),
        WatchEvent::Error(failure) => format!("{word} {failure}"),
    }
}

async fn expect(watch: &mut Watch, events: &[&str]) {
    for expected in events {
        assert_eq!(short(&next(watch).await), *expected);
    }
}

fn nothing_waits(watch: &mut Watch) {
    let event = watch.next().now_or_never();
    assert!(event.is_none(), "{event:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_version_what_exists_comes_first() {
    for version in ["", "0"] {
        let world = World::new();
        world.add("b", "x").await;
        world.add("a", "x").await;
        let mut watch = watch(&world, &after(version)).await;
        expect(&mut watch, &["ADDED a@2", "ADDED b@1"]).await;
        nothing_waits(&mut watch);
        world.retitle("a", "t").await;
        world.delete("b").await.unwrap();
        world.add("c", "x").await;
        expect(&mut watch, &["MODIFIED a@3", "DELETED b@4", "ADDED c@5"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_version_every_change_comes() {
    let world = World::new();
    world.add("a", "x").await;
    world.retitle("a", "t").await;
    world.delete("a").await.unwrap();
    let mut watch = watch(&world, &after("1")).await;
    expect(&mut watch, &["MODIFIED a@2", "DELETED a@3"]).await;
    nothing_waits(&mut watch);
    world.add("a", "x").await;
    expect(&mut watch, &["ADDED a@4"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_shows_the_last_state_with_its_own_version() {
    let world = World::new();
    world.add("a", "x").await;
    let last = value(&world.retitle("a", "t").await);
    let mut watch = watch(&world, &after("2")).await;
    world.delete("a").await.unwrap();
    let WatchEvent::Deleted(object) = next(&mut watch).await else {
        panic!("it was deleted");
    };
    let mut expected = last;
    expected["metadata"]["resourceVersion"] = "3".into();
    assert_eq!(value(&object), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn selectors_turn_changes_into_coming_and_going() {
    let world = World::new();
    world.add("a", "x").await;
    world.add("b", "y").await;
    let parameters = selecting("app=x", "");
    let mut watch = watch(&world, &parameters).await;
    expect(&mut watch, &["ADDED a@1"]).await;
    let label = |label: &str| json!({"metadata": {"labels": {"app": label}}});
    world.merge("b", &label("z")).await.unwrap();
    world.merge("b", &label("x")).await.unwrap();
    world.retitle("b", "t").await;
    let before = world.get("b").await.unwrap();
    world.merge("b", &label("y")).await.unwrap();
    world.delete("b").await.unwrap();
    world.delete("a").await.unwrap();
    expect(&mut watch, &["ADDED b@4", "MODIFIED b@5"]).await;
    let WatchEvent::Deleted(gone) = next(&mut watch).await else {
        panic!("it does not match any more");
    };
    let mut expected = value(&before);
    expected["metadata"]["resourceVersion"] = "6".into();
    assert_eq!(value(&gone), expected);
    expect(&mut watch, &["DELETED a@8"]).await;
    nothing_waits(&mut watch);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_object_or_one_namespace_can_be_watched() {
    let world = World::new();
    world.add("a", "x").await;
    let one = after("0").with_name("a");
    let mut one = watch(&world, &one).await;
    let everywhere = world.everywhere(FOLDERS);
    let mut all = world.objects.watch(&everywhere, &after("1")).await.unwrap();
    let kind = everywhere.kind().clone();
    let other = kind.collection(Some("org-2")).unwrap();
    let body = folder("a").to_string();
    let options = resource::WriteOptions::default();
    world
        .objects
        .create(&other, body.as_bytes(), &options)
        .await
        .unwrap();
    world.add("b", "x").await;
    world.retitle("a", "t").await;
    expect(&mut one, &["ADDED a@1", "MODIFIED a@4"]).await;
    nothing_waits(&mut one);
    expect(&mut all, &["ADDED a@2", "ADDED b@3", "MODIFIED a@4"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn initial_events_end_with_a_bookmark() {
    let world = World::new();
    world.add("a", "x").await;
    world.create(&crate::support::playlist("p")).await.unwrap();
    let mut stream = watch(&world, &initial("")).await;
    expect(&mut stream, &["ADDED a@1"]).await;
    let WatchEvent::Bookmark(bookmark) = next(&mut stream).await else {
        panic!("a bookmark ends the initial events");
    };
    let mut json = Vec::new();
    bookmark.write_json(&mut json);
    assert_eq!(
        serde_json::from_slice::<Value>(&json).unwrap(),
        json!({"apiVersion": "folder.grafana.app/v1beta1", "kind": "Folder",
            "metadata": {"resourceVersion": "2", "creationTimestamp": null,
                "annotations": {"k8s.io/initial-events-end": "true"}}})
    );
    world.add("b", "x").await;
    expect(&mut stream, &["ADDED b@3"]).await;

    let mut empty = initial("2");
    empty.label_selector = "app=none".into();
    let mut empty = watch(&world, &empty).await;
    expect(&mut empty, &["BOOKMARK end@3"]).await;

    let mut changes_only = initial("2");
    changes_only.send_initial_events = Some(false);
    let mut changes_only = watch(&world, &changes_only).await;
    expect(&mut changes_only, &["ADDED b@3"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_initial_objects_come_page_by_page() {
    let world = World::new();
    let count = 2_500;
    for index in 0..count {
        world
            .create(&folder(&format!("f{index:05}")))
            .await
            .unwrap();
    }
    let mut watch = watch(&world, &initial("")).await;
    // Changes while the pages are read come after all of them.
    world.delete("f02499").await.unwrap();
    for index in 0..count {
        let event = next(&mut watch).await;
        assert_eq!(short(&event), format!("ADDED f{index:05}@{}", index + 1));
    }
    expect(&mut watch, &["BOOKMARK end@2500", "DELETED f02499@2501"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_gone_is_an_error_event() {
    let world = World::new();
    for title in ["a", "b", "c", "d"] {
        world.add(title, "x").await;
    }
    world.clock.advance(Duration::from_secs(3600));
    let policy = Retention {
        changes_age_min: Duration::ZERO,
        changes_max: Some(0),
        ..Retention::default()
    };
    while world.objects.backend().compact(&policy).await.unwrap().more {}
    let mut watch = watch(&world, &after("1")).await;
    let WatchEvent::Error(failure) = next(&mut watch).await else {
        panic!("the changes are gone");
    };
    refused::<()>(
        Err(failure),
        Reason::Expired,
        "too old resource version: 1 (4)",
    );
    assert!(watch.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_of_the_future_is_refused() {
    let world = World::new();
    let result = world.objects.watch(&world.folders(), &after("5")).await;
    refused(
        result,
        Reason::Timeout,
        "Timeout: Too large resource version: 5, current: 0",
    );
    let mut bad = after("");
    bad.field_selector = "spec.x=1".into();
    let result = world.objects.watch(&world.folders(), &bad).await;
    refused(
        result,
        Reason::BadRequest,
        "field label not supported: spec.x",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_see_the_same_order() {
    let world = World::new();
    let mut watches = Vec::new();
    for _ in 0..4 {
        watches.push(watch(&world, &initial("")).await);
    }
    let writers = (0..4).map(|writer| {
        let world = &world;
        async move {
            let name = format!("w{writer}");
            world.add(&name, "x").await;
            for turn in 0..10 {
                world.retitle(&name, &format!("t{turn}")).await;
            }
        }
    });
    futures::future::join_all(writers).await;
    let mut seen = Vec::new();
    for watch in &mut watches {
        let mut events = Vec::new();
        while events.len() < 45 {
            events.push(short(&next(watch).await));
        }
        seen.push(events);
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
    let versions: Vec<u64> = seen[0][1..]
        .iter()
        .map(|event| event.rsplit('@').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(versions, (1..=44).collect::<Vec<_>>());
}

/// Time that stands still moves to the next timer when nothing else is left to do.
#[tokio::test(start_paused = true)]
async fn bookmarks_tell_how_far_an_idle_watch_is() {
    let world = World::new();
    let mut parameters = after("0");
    parameters.allow_watch_bookmarks = true;
    let mut stream = watch(&world, &parameters).await;
    nothing_waits(&mut stream);
    assert_eq!(stream.closing_bookmark(), None);
    world.create(&crate::support::playlist("p")).await.unwrap();
    let started = tokio::time::Instant::now();
    expect(&mut stream, &["BOOKMARK @1"]).await;
    let waited = started.elapsed().as_secs();
    assert!((60..=75).contains(&waited), "{waited} s");

    world.create(&crate::support::playlist("o")).await.unwrap();
    nothing_waits(&mut stream);
    assert_eq!(short(&stream.closing_bookmark().unwrap()), "BOOKMARK @2");
    world.add("a", "x").await;
    expect(&mut stream, &["ADDED a@3"]).await;
    assert_eq!(stream.closing_bookmark(), None, "it would go back");
    let quiet = tokio::time::timeout(Duration::from_secs(3600), stream.next()).await;
    assert!(quiet.is_err(), "an event says as much as a bookmark");
    // One has been due for long.
    world.create(&crate::support::playlist("n")).await.unwrap();
    expect(&mut stream, &["BOOKMARK @4"]).await;
    world.create(&crate::support::playlist("q")).await.unwrap();
    nothing_waits(&mut stream);
    let closing = stream.closing_bookmark().unwrap();
    assert_eq!(short(&closing), "BOOKMARK @5");

    let mut silent = watch(&world, &after("5")).await;
    world.create(&crate::support::playlist("r")).await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_secs(3600), silent.next()).await;
    assert!(quiet.is_err(), "nobody asked for bookmarks");
    assert_eq!(silent.closing_bookmark(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_sleeps_stops_nobody() {
    let world = World::new();
    let mut watch = watch(&world, &after("0")).await;
    let mut last: Option<Object> = None;
    world.add("a", "x").await;
    for turn in 0..3_000 {
        last = Some(world.retitle("a", &format!("t{turn}")).await);
    }
    let last = last.unwrap().revision();
    let mut seen = 0;
    loop {
        let event = next(&mut watch).await;
        seen += 1;
        if short(&event).ends_with(&format!("@{last}")) {
            break;
        }
    }
    assert_eq!(seen, 3_001);
}
