//! Another writer comes between the read and the write of a request.

use resource::{DeleteOptions, Effect, ListParameters, Reason, WriteOptions};
use serde_json::json;
use storage_core::Revision;

use crate::staged::{Step, staged};
use crate::support::{folder, value};

const RIVAL: Step = Step::Rival {
    name: "a",
    title: "rival",
};

#[tokio::test(flavor = "multi_thread")]
async fn an_update_of_a_version_loses() {
    let (world, store) = staged();
    let mut body = value(&world.create(&folder("a")).await.unwrap().object);
    body["spec"]["title"] = "mine".into();
    store.plan(RIVAL);
    assert_eq!(
        world.update(&body).await.unwrap_err().reason(),
        Reason::Conflict
    );
    assert_eq!(
        value(&world.get("a").await.unwrap())["spec"]["title"],
        "rival"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_is_applied_to_what_the_rival_wrote() {
    let (world, store) = staged();
    world.create(&folder("a")).await.unwrap();
    for _ in 0..20 {
        store.plan(RIVAL);
    }
    let patch = json!({"spec": {"parent": "p"}});
    let patched = value(&world.merge("a", &patch).await.unwrap().object);
    assert_eq!(patched["spec"], json!({"title": "rival", "parent": "p"}));
    assert_eq!(store.steps_left(), 0);
}

/// An object with many writers was left in place, and the answer said nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_write_is_deleted_with_its_collection() {
    let (world, store) = staged();
    world.create(&folder("a")).await.unwrap();
    for _ in 0..7 {
        store.plan(RIVAL);
    }
    let target = world.folder("a");
    let (parameters, options) = (ListParameters::default(), DeleteOptions::default());
    let deleted = world
        .objects
        .delete_collection(target.collection(), &parameters, &options)
        .await
        .unwrap();
    assert_eq!(deleted.items.len(), 1);
    assert_eq!(world.get("a").await.unwrap_err().reason(), Reason::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_of_a_version_loses() {
    let (world, store) = staged();
    world.create(&folder("a")).await.unwrap();
    store.plan(RIVAL);
    let patch = json!({"metadata": {"resourceVersion": "1"}, "spec": {"parent": "p"}});
    assert_eq!(
        world.merge("a", &patch).await.unwrap_err().reason(),
        Reason::Conflict
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_wins_unless_it_named_the_version() {
    let (world, store) = staged();
    world.create(&folder("a")).await.unwrap();
    store.plan(RIVAL);
    let of_version = DeleteOptions {
        resource_version: Some("1".into()),
        ..DeleteOptions::default()
    };
    let target = world.folder("a");
    let lost = world
        .objects
        .delete(&target, &of_version)
        .await
        .unwrap_err();
    assert_eq!(lost.reason(), Reason::Conflict);
    store.plan(RIVAL);
    world.delete("a").await.unwrap();
    assert_eq!(world.get("a").await.unwrap_err().reason(), Reason::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_for_deletion_keeps_what_the_rival_wrote() {
    let (world, store) = staged();
    let mut body = folder("a");
    body["metadata"]["finalizers"] = json!(["example.com/f"]);
    world.create(&body).await.unwrap();
    store.plan(RIVAL);
    world.delete("a").await.unwrap();
    let marked = value(&world.get("a").await.unwrap());
    assert_eq!(marked["spec"]["title"], "rival");
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_version_is_restored_over_what_the_rival_wrote() {
    let (world, store) = staged();
    world.create(&folder("a")).await.unwrap();
    world.retitle("a", "b").await;
    store.plan(RIVAL);
    let (first, options) = (Some(Revision::new(1)), WriteOptions::default());
    let restored = world
        .objects
        .restore(&world.folder("a"), first, &options)
        .await
        .unwrap();
    assert_eq!(restored.effect, Effect::Updated);
    assert_eq!(value(&restored.object)["spec"]["title"], "a");
    assert_eq!(restored.object.revision().get(), 4);
}
