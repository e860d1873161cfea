use std::time::Duration;

use resource::{Effect, Reason};
use serde_json::json;

use crate::support::{World, folder, refused, value};

#[tokio::test(flavor = "multi_thread")]
async fn an_update_needs_the_present_version() {
    let world = World::new();
    world.create(&folder("a")).await.unwrap();
    let mut body = folder("a");
    refused(
        world.update(&folder("missing")).await,
        Reason::NotFound,
        "folders.folder.grafana.app \"missing\" not found",
    );
    refused(
        world.update(&body).await,
        Reason::Invalid,
        "Folder.folder.grafana.app \"a\" is invalid: metadata.resourceVersion: \
         Invalid value: 0: must be specified for an update",
    );
    body["metadata"]["resourceVersion"] = "99".into();
    refused(
        world.update(&body).await,
        Reason::Conflict,
        "Operation cannot be fulfilled on folders.folder.grafana.app \"a\": the object has been \
         modified; please apply your changes to the latest version and try again",
    );
    body["metadata"]["resourceVersion"] = "01".into();
    assert_eq!(
        world.update(&body).await.unwrap_err().reason(),
        Reason::Invalid
    );
    body["metadata"] = json!({"name": "a", "resourceVersion": "1", "uid": "other"});
    let conflict = world.update(&body).await.unwrap_err();
    assert_eq!(conflict.reason(), Reason::Conflict);
    assert!(
        conflict
            .message()
            .contains("Precondition failed: UID in precondition: other, UID in")
    );
    body["metadata"] = json!({"name": "a", "resourceVersion": "1"});
    let updated = world.update(&body).await.unwrap();
    assert_eq!(updated.effect, Effect::Unchanged);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_must_be_that_of_the_url() {
    let world = World::new();
    world.create(&folder("a")).await.unwrap();
    let target = world.folder("a");
    let update = async |body: serde_json::Value| {
        let body = body.to_string();
        let options = resource::WriteOptions::default();
        world
            .objects
            .update(&target, body.as_bytes(), &options)
            .await
    };
    refused(
        update(folder("b")).await,
        Reason::BadRequest,
        "the name of the object (b) does not match the name on the URL (a)",
    );
    refused(
        update(folder("")).await,
        Reason::BadRequest,
        "the name of the object (a based on URL) was undeterminable: name must be provided",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn generation_counts_changes_outside_of_metadata() {
    let world = World::new();
    let created = world.create(&folder("a")).await.unwrap().object;
    world.clock.advance(Duration::from_secs(60));
    let mut body = value(&created);
    body["metadata"]["labels"] = json!({"x": "y"});
    let labelled = value(&world.update(&body).await.unwrap().object);
    assert_eq!(labelled["metadata"]["generation"], 1);
    assert_eq!(labelled["metadata"]["resourceVersion"], "2");

    let mut body = labelled.clone();
    body["spec"]["title"] = "new".into();
    body["metadata"]["creationTimestamp"] = "2001-01-01T00:00:00Z".into();
    body["metadata"]["generation"] = 50.into();
    body["metadata"]["deletionTimestamp"] = "2001-01-01T00:00:00Z".into();
    let retitled = value(&world.update(&body).await.unwrap().object);
    assert_eq!(retitled["metadata"]["generation"], 2);
    assert_eq!(retitled["spec"]["title"], "new");
    for kept in ["uid", "creationTimestamp", "labels"] {
        assert_eq!(retitled["metadata"][kept], labelled["metadata"][kept]);
    }
    assert!(retitled["metadata"].get("deletionTimestamp").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_nothing_writes_nothing() {
    let world = World::new();
    let created = world.add("a", "x").await;
    let head = world.objects.backend().head();
    let written = world.update(&value(&created)).await.unwrap();
    assert_eq!(written.effect, Effect::Unchanged);
    assert_eq!(written.object.to_json(), created.to_json());
    assert_eq!(*head.borrow(), created.revision());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_updates_one_wins() {
    let world = World::new();
    let created = value(&world.create(&folder("a")).await.unwrap().object);
    let attempts: Vec<_> = (0..16)
        .map(|writer| {
            let mut body = created.clone();
            body["spec"]["title"] = format!("w{writer}").into();
            let (objects, target) = (world.objects.clone(), world.folder("a"));
            tokio::spawn(async move {
                let options = resource::WriteOptions::default();
                let body = body.to_string();
                objects.update(&target, body.as_bytes(), &options).await
            })
        })
        .collect();
    let results: Vec<_> = futures::future::join_all(attempts).await;
    let results = results.into_iter().map(Result::unwrap);
    let (won, lost): (Vec<_>, Vec<_>) = results.partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 15));
    for failure in lost {
        assert_eq!(failure.unwrap_err().reason(), Reason::Conflict);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upsert_policy_creates_and_replaces() {
    let world = World::new();
    let manifest =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/kinds/folder.json"));
    let mut manifest: serde_json::Value = serde_json::from_str(&manifest.unwrap()).unwrap();
    manifest["metadata"]["annotations"]["unistore.internal/update-policy"] = "upsert".into();
    world.objects.kinds().apply(&manifest).unwrap();
    let mut body = folder("a");
    assert_eq!(world.update(&body).await.unwrap().effect, Effect::Created);
    body["spec"]["title"] = "b".into();
    assert_eq!(world.update(&body).await.unwrap().effect, Effect::Updated);
    body["metadata"]["resourceVersion"] = "1".into();
    assert_eq!(
        world.update(&body).await.unwrap_err().reason(),
        Reason::Conflict
    );
}
