use std::time::Duration;

use resource::{DeleteOptions, Deletion, Effect, ListParameters, Reason};
use serde_json::json;

use crate::support::{START_TEXT, World, folder, names, refused, selecting, value};

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_object_is_gone() {
    let world = World::new();
    let created = world.create(&folder("a")).await.unwrap().object;
    let Deletion::Gone { object, uid } = world.delete("a").await.unwrap() else {
        panic!("it waits for nothing");
    };
    assert_eq!(uid, created.uid().unwrap());
    assert_eq!(object.revision().get(), 2);
    let words = "folders.folder.grafana.app \"a\" not found";
    refused(world.get("a").await, Reason::NotFound, words);
    refused(world.delete("a").await, Reason::NotFound, words);
}

#[tokio::test(flavor = "multi_thread")]
async fn preconditions_hold_or_the_object_stays() {
    let world = World::new();
    let uid = world
        .create(&folder("a"))
        .await
        .unwrap()
        .object
        .uid()
        .unwrap();
    let delete = async |uid: Option<&str>, version: Option<&str>| {
        let options = DeleteOptions {
            uid: uid.map(String::from),
            resource_version: version.map(String::from),
            ..DeleteOptions::default()
        };
        world.objects.delete(&world.folder("a"), &options).await
    };
    refused(
        delete(Some("x"), None).await,
        Reason::Conflict,
        &format!(
            "Operation cannot be fulfilled on folders.folder.grafana.app \"a\": \
             the UID in the precondition (x) does not match the UID in record ({uid}). \
             The object might have been deleted and then recreated"
        ),
    );
    refused(
        delete(Some(&uid), Some("7")).await,
        Reason::Conflict,
        "Operation cannot be fulfilled on folders.folder.grafana.app \"a\": \
         the ResourceVersion in the precondition (7) does not match the ResourceVersion in record \
         (1). The object might have been deleted and then recreated",
    );
    assert!(world.get("a").await.is_ok());
    delete(Some(&uid), Some("1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn finalizers_keep_an_object_until_they_are_gone() {
    let world = World::new();
    let mut body = folder("a");
    body["metadata"]["finalizers"] = json!(["example.com/a", "example.com/b"]);
    world.create(&body).await.unwrap();
    let Deletion::Waiting(marked) = world.delete("a").await.unwrap() else {
        panic!("its finalizers are not gone");
    };
    let shown = value(&marked);
    assert_eq!(shown["metadata"]["deletionTimestamp"], START_TEXT);
    assert_eq!(shown["metadata"]["deletionGracePeriodSeconds"], 0);
    assert_eq!(shown["metadata"]["generation"], 2);

    world.clock.advance(Duration::from_secs(5));
    assert_eq!(
        world.delete("a").await.unwrap(),
        Deletion::Waiting(marked.clone())
    );
    refused(
        world
            .merge("a", &json!({"metadata": {"finalizers": ["example.com/c"]}}))
            .await,
        Reason::Invalid,
        "Folder.folder.grafana.app \"a\" is invalid: metadata.finalizers: Forbidden: no new \
         finalizers can be added if the object is being deleted, found new finalizers \
         []string{\"example.com/c\"}",
    );
    let one = json!({"metadata": {"finalizers": ["example.com/b"]}, "spec": {"title": "z"}});
    assert_eq!(
        world.merge("a", &one).await.unwrap().effect,
        Effect::Updated
    );
    let none = json!({"metadata": {"finalizers": null}});
    let last = world.merge("a", &none).await.unwrap();
    assert_eq!(last.effect, Effect::Removed);
    assert_eq!(world.get("a").await.unwrap_err().reason(), Reason::NotFound);
    let trash = world
        .list(&selecting("grafana.app/get-trash=true", ""))
        .await
        .unwrap();
    assert_eq!(
        value(&trash.items[0])["metadata"]["deletionTimestamp"],
        START_TEXT
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_deletes_nothing() {
    let world = World::new();
    world.create(&folder("a")).await.unwrap();
    let options = DeleteOptions {
        dry_run: vec!["All".into()],
        ..DeleteOptions::default()
    };
    let deletion = world
        .objects
        .delete(&world.folder("a"), &options)
        .await
        .unwrap();
    assert!(matches!(deletion, Deletion::Gone { .. }));
    assert!(world.get("a").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_is_deleted_by_selectors() {
    let world = World::new();
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        world.add(name, label).await;
    }
    let options = DeleteOptions::default();
    let folders = world.folders();
    let delete = async |parameters: &ListParameters| {
        world
            .objects
            .delete_collection(&folders, parameters, &options)
            .await
    };
    let deleted = delete(&selecting("app=x", "")).await.unwrap();
    assert_eq!(names(&deleted.items), ["a", "c"]);
    let left = world.list(&ListParameters::default()).await.unwrap();
    assert_eq!(names(&left.items), ["b"]);
    let trash = delete(&selecting("grafana.app/get-trash=true", "")).await;
    assert_eq!(trash.unwrap_err().reason(), Reason::BadRequest);
    let all = world.everywhere(crate::support::FOLDERS);
    let everything = ListParameters::default();
    let deleted = world
        .objects
        .delete_collection(&all, &everything, &options)
        .await
        .unwrap();
    assert_eq!(names(&deleted.items), ["b"]);
}
