use std::time::Duration;

use resource::{Effect, ListParameters, Object, Reason, WriteOptions, Written};
use serde_json::json;
use storage_core::Revision;

use crate::support::{START_TEXT, World, folder, names, refused, selecting, value};

const HISTORY: &str = "grafana.app/get-history=true";
const TRASH: &str = "grafana.app/get-trash=true";

fn titles(objects: &[Object]) -> Vec<String> {
    let title = |object| value(object)["spec"]["title"].as_str().unwrap().to_string();
    objects.iter().map(title).collect()
}

fn versioned(version: &str, matching: &str) -> ListParameters {
    ListParameters {
        resource_version: version.into(),
        resource_version_match: matching.into(),
        ..selecting(HISTORY, "metadata.name=a")
    }
}

async fn restore(world: &World, name: &str, revision: Option<u64>) -> resource::Result<Written> {
    let revision = revision.map(Revision::new);
    let options = WriteOptions::default();
    world
        .objects
        .restore(&world.folder(name), revision, &options)
        .await
}

/// Revisions 1 to 3 of a first life, its deletion at 4, and 5 to 6 of a second one.
async fn two_lives() -> World {
    let world = World::new();
    world.create(&folder("a")).await.unwrap();
    world.retitle("a", "b").await;
    world.retitle("a", "c").await;
    world.delete("a").await.unwrap();
    world.create(&folder("a")).await.unwrap();
    world.retitle("a", "e").await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_shows_the_present_life_newest_first() {
    let world = two_lives().await;
    for parameters in [
        selecting(HISTORY, "metadata.name=a"),
        selecting("grafana.app/get-history=a", ""),
    ] {
        let list = world.list(&parameters).await.unwrap();
        assert_eq!(titles(&list.items), ["e", "a"]);
        let versions: Vec<_> = list.items.iter().map(|o| o.revision().get()).collect();
        assert_eq!(versions, [6, 5]);
    }
    world.delete("a").await.unwrap();
    let list = world
        .list(&selecting(HISTORY, "metadata.name=a"))
        .await
        .unwrap();
    assert_eq!(titles(&list.items), ["e", "e", "a"]);
    assert_eq!(
        value(&list.items[0])["metadata"]["deletionTimestamp"],
        START_TEXT
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_from_a_version_shows_all_lives_oldest_first() {
    let world = two_lives().await;
    let list = world.list(&versioned("2", "NotOlderThan")).await.unwrap();
    assert_eq!(titles(&list.items), ["b", "c", "c", "a", "e"]);
    let exact = world.list(&versioned("3", "Exact")).await.unwrap();
    assert_eq!(titles(&exact.items), ["c"]);
    assert_eq!(exact.items[0].revision().get(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_has_pages() {
    let world = two_lives().await;
    for title in ["f", "g", "h"] {
        world.retitle("a", title).await;
    }
    let mut parameters = selecting(HISTORY, "metadata.name=a");
    parameters.limit = Some(2);
    let mut seen = Vec::new();
    loop {
        let list = world.list(&parameters).await.unwrap();
        assert!(list.items.len() <= 2);
        seen.extend(titles(&list.items));
        let Some(next) = list.next else { break };
        parameters.continue_token = next;
        // Neither shown, nor does a new life hide what is left of the shown one.
        if seen.len() == 2 {
            world.delete("a").await.unwrap();
            world.create(&folder("a")).await.unwrap();
        }
    }
    assert_eq!(seen, ["h", "g", "f", "e", "a"]);
}

/// The second page went newest first: the continue request has no version, which chose the order.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_from_a_version_has_pages() {
    let world = two_lives().await;
    let mut parameters = versioned("2", "NotOlderThan");
    parameters.limit = Some(2);
    let mut pages = Vec::new();
    for _ in 0..3 {
        let list = world.list(&parameters).await.unwrap();
        pages.push(titles(&list.items));
        parameters = selecting(HISTORY, "metadata.name=a");
        parameters.limit = Some(2);
        parameters.continue_token = list.next.unwrap_or_default();
    }
    assert_eq!(pages, [vec!["b", "c"], vec!["c", "a"], vec!["e"]]);
    assert_eq!(parameters.continue_token, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_are_read_by_their_number() {
    let world = two_lives().await;
    for (version, title) in [("1", "a"), ("3", "c"), ("5", "a"), ("6", "e"), ("0", "e")] {
        let object = world.get_at("a", version, "").await.unwrap();
        assert_eq!(titles(&[object]), [title], "at {version}");
    }
    let newest = world.get_at("a", "2", "NotOlderThan").await.unwrap();
    assert_eq!(newest.revision().get(), 6);
    assert_eq!(
        world.get_at("a", "4", "").await.unwrap_err().reason(),
        Reason::NotFound
    );
    assert_eq!(
        world.get_at("a", "x", "").await.unwrap_err().reason(),
        Reason::BadRequest
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trash_shows_what_is_deleted() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.create(&folder(name)).await.unwrap();
    }
    world.clock.advance(Duration::from_secs(60));
    world.delete("c").await.unwrap();
    world.delete("a").await.unwrap();
    let trash = world.list(&selecting(TRASH, "")).await.unwrap();
    assert_eq!(names(&trash.items), ["a", "c"]);
    let record = value(&trash.items[1]);
    assert_eq!(
        record["metadata"]["deletionTimestamp"],
        "2023-12-14T13:54:35Z"
    );
    assert_eq!(record["metadata"]["resourceVersion"], "4");
    assert_eq!(record["spec"]["title"], "c");
    let one = world
        .list(&selecting(TRASH, "metadata.name=c"))
        .await
        .unwrap();
    assert_eq!(names(&one.items), ["c"]);
    world.create(&folder("c")).await.unwrap();
    let trash = world.list(&selecting(TRASH, "")).await.unwrap();
    assert_eq!(names(&trash.items), ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_object_is_restored_to_a_new_life() {
    let world = two_lives().await;
    refused(
        restore(&world, "a", None).await,
        Reason::AlreadyExists,
        "folders.folder.grafana.app \"a\" already exists",
    );
    let before = world.get("a").await.unwrap().uid().unwrap();
    world.delete("a").await.unwrap();
    let written = restore(&world, "a", None).await.unwrap();
    assert_eq!(written.effect, Effect::Created);
    let restored = value(&written.object);
    assert_eq!(restored["spec"]["title"], "e");
    assert_eq!(restored["metadata"]["generation"], 1);
    assert_ne!(restored["metadata"]["uid"], json!(before));
    assert!(restored["metadata"].get("deletionTimestamp").is_none());
    let trash = world.list(&selecting(TRASH, "")).await.unwrap();
    assert_eq!(names(&trash.items), Vec::<&str>::new());
    refused(
        restore(&world, "never", None).await,
        Reason::NotFound,
        "folders.folder.grafana.app \"never\" not found",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_restored() {
    let world = two_lives().await;
    let uid = world.get("a").await.unwrap().uid().unwrap();
    let written = restore(&world, "a", Some(2)).await.unwrap();
    assert_eq!(written.effect, Effect::Updated);
    let restored = value(&written.object);
    assert_eq!(
        (&restored["spec"]["title"], &restored["metadata"]["uid"]),
        (&json!("b"), &json!(uid))
    );
    assert_eq!(restored["metadata"]["generation"], 3);
    world.delete("a").await.unwrap();
    // By the version that the trash shows: that of the deletion.
    let trash = world.list(&selecting(TRASH, "")).await.unwrap();
    let deleted_at = trash.items[0].revision().get();
    let again = restore(&world, "a", Some(deleted_at)).await.unwrap();
    assert_eq!(titles(&[again.object]), ["b"]);
    assert_eq!(
        restore(&world, "a", Some(99)).await.unwrap_err().reason(),
        Reason::Expired
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn history_and_trash_stand_alone() {
    let world = two_lives().await;
    for (labels, fields) in [
        (HISTORY, ""),
        (HISTORY, "metadata.name!=a"),
        (HISTORY, "metadata.name=a,spec.title=e"),
        ("grafana.app/get-history=b", "metadata.name=a"),
        ("grafana.app/get-history=true,app=x", "metadata.name=a"),
        ("grafana.app/get-history", "metadata.name=a"),
        ("grafana.app/get-trash!=true", ""),
        ("grafana.app/get-trash=yes", ""),
        (TRASH, "spec.title=e"),
        (
            "grafana.app/get-trash=true,grafana.app/get-history=true",
            "",
        ),
    ] {
        let failure = world.list(&selecting(labels, fields)).await.unwrap_err();
        assert_eq!(
            failure.reason(),
            Reason::BadRequest,
            "{labels:?} {fields:?}"
        );
    }
    let watch = world
        .objects
        .watch(&world.folders(), &selecting(TRASH, ""))
        .await;
    refused(
        watch,
        Reason::BadRequest,
        "history and trash cannot be watched",
    );
}
