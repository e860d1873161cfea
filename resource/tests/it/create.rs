use resource::{Effect, Reason, WriteOptions};
use serde_json::json;
use storage_core::Revision;

use crate::support::{START_TEXT, World, folder, playlist, refused, value};

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_what_a_new_object_is() {
    let world = World::new();
    let mut body = folder("a");
    body["metadata"] = json!({
        "name": "a", "labels": {"app": "x"}, "uid": "mine", "generation": 7,
        "creationTimestamp": "2001-01-01T00:00:00Z", "deletionTimestamp": "2001-01-01T00:00:00Z",
        "deletionGracePeriodSeconds": 3, "selfLink": "/x", "managedFields": [{"manager": "m"}],
        "resourceVersion": "0",
    });
    let written = world.create(&body).await.unwrap();
    assert_eq!(written.effect, Effect::Created);
    let created = value(&written.object);
    let uid = created["metadata"]["uid"].as_str().unwrap();
    assert_eq!((uid.len(), &uid[14..15]), (36, "4"), "{uid}");
    assert_eq!(
        created,
        json!({
            "apiVersion": "folder.grafana.app/v1beta1", "kind": "Folder",
            "metadata": {
                "name": "a", "namespace": "default", "labels": {"app": "x"}, "uid": uid,
                "generation": 1, "creationTimestamp": START_TEXT, "resourceVersion": "1",
            },
            "spec": {"title": "a"},
        })
    );
    let read = world.get("a").await.unwrap();
    assert_eq!(read.to_json(), written.object.to_json());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_generated() {
    let world = World::new();
    let mut body = folder("");
    body["metadata"] = json!({"generateName": "x"});
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let name = world.create(&body).await.unwrap().object.name().to_string();
        assert!(name.len() == 6 && name.starts_with('x'), "{name}");
        assert!(seen.insert(name));
    }
    body["metadata"] = json!({"generateName": "y".repeat(100)});
    let name = world.create(&body).await.unwrap().object.name().to_string();
    assert_eq!(name.len(), 63);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_do_not_fit_are_refused() {
    let world = World::new();
    let change = |pointer: &str, to: serde_json::Value| {
        let mut body = playlist("p1");
        *body.pointer_mut(pointer).unwrap() = to;
        body
    };
    let mut no_kind = playlist("p1");
    no_kind.as_object_mut().unwrap().remove("kind");
    no_kind["apiVersion"] = "folder.grafana.app/v1beta1".into();
    let failure = world.create(&no_kind).await.unwrap_err();
    assert!(
        failure
            .message()
            .starts_with("Object 'Kind' is missing in '{\"apiVersion\""),
        "{failure}"
    );
    for (body, reason, message) in [
        (
            change("/apiVersion", "playlist.grafana.app/v9".into()),
            Reason::BadRequest,
            "the API version in the data (playlist.grafana.app/v9) does not match \
             the expected API version (playlist.grafana.app/v0alpha1)",
        ),
        (
            change("/metadata", json!({"name": "p1", "namespace": "other"})),
            Reason::BadRequest,
            "the namespace of the provided object does not match \
             the namespace sent on the request",
        ),
        (
            change("/metadata", json!({"name": "p1", "resourceVersion": "5"})),
            Reason::BadRequest,
            "resourceVersion should not be set on objects to be created",
        ),
        (
            change("/metadata", json!({})),
            Reason::Invalid,
            "Playlist.playlist.grafana.app \"\" is invalid: \
             metadata.name: Required value: name or generateName is required",
        ),
        (
            change("/metadata", json!({"name": "a b"})),
            Reason::Invalid,
            "Playlist.playlist.grafana.app \"a b\" is invalid: metadata.name: \
             Invalid value: \"a b\": a name must consist of letters, digits, '-', '_' or '.'",
        ),
        (
            change("/spec", json!({"interval": "5m"})),
            Reason::Invalid,
            "Playlist.playlist.grafana.app \"p1\" is invalid: spec.title: Required value",
        ),
        (
            change("/spec/title", 5.into()),
            Reason::Invalid,
            "Playlist.playlist.grafana.app \"p1\" is invalid: spec.title: Invalid value: \
             \"integer\": spec.title in body must be of type string: \"integer\"",
        ),
        (
            change("/spec/items/0/type", "z".into()),
            Reason::Invalid,
            "Playlist.playlist.grafana.app \"p1\" is invalid: spec.items[0].type: \
             Unsupported value: \"z\": supported values: \"dashboard_by_tag\", \
             \"dashboard_by_uid\", \"dashboard_by_id\"",
        ),
        (
            change("/metadata", json!({"name": 5})),
            Reason::BadRequest,
            "Playlist in version \"v0alpha1\" cannot be handled as a Playlist: \
             metadata.name must be of type string, not integer",
        ),
    ] {
        refused(world.create(&body).await, reason, message);
    }
    let head = *world.objects.backend().head().borrow();
    assert_eq!(head, Revision::ZERO, "a refused body was written");
}

/// A million mistakes must not make an answer of a million lines, nor a long value a long line.
#[tokio::test(flavor = "multi_thread")]
async fn answers_stay_short() {
    let world = World::new();
    let mut body = playlist(&"n".repeat(100_000));
    let item = json!({"type": "z".repeat(10_000), "k".repeat(10_000): 1});
    body["spec"]["items"] = vec![item; 300].into();
    let failure = world.create(&body).await.unwrap_err();
    assert_eq!(failure.details().causes.len(), 100);
    assert!(
        failure.message().len() < 100_000,
        "{}",
        failure.message().len()
    );
    assert!(failure.details().name.len() < 1_000);
    let strict = WriteOptions {
        field_validation: "Strict".into(),
        ..WriteOptions::default()
    };
    let failure = world.create_with(&body, &strict).await.unwrap_err();
    assert!(
        failure.message().len() < 100_000,
        "{}",
        failure.message().len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_taken_once() {
    let world = World::new();
    world.create(&folder("a")).await.unwrap();
    let failure = refused(
        world.create(&folder("a")).await,
        Reason::AlreadyExists,
        "folders.folder.grafana.app \"a\" already exists",
    );
    let details = failure.details();
    assert_eq!(
        (&*details.name, &*details.group, &*details.kind),
        ("a", "folder.grafana.app", "folders")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_duplicate_fields_are_told_as_asked() {
    let world = World::new();
    let body = |name: &str| {
        format!(
            r#"{{"apiVersion":"playlist.grafana.app/v0alpha1","kind":"Playlist",
            "metadata":{{"name":"{name}"}},
            "spec":{{"title":"a","title":"b","interval":"1m","foo":{{"x":1}},
                "items":[{{"type":"dashboard_by_uid","value":"v","bar":1}}]}}}}"#
        )
    };
    let collection = world.collection(crate::support::PLAYLISTS);
    let create = async |name: &str, validation: &str| {
        let options = WriteOptions {
            field_validation: validation.into(),
            ..WriteOptions::default()
        };
        let body = body(name);
        world
            .objects
            .create(&collection, body.as_bytes(), &options)
            .await
    };
    refused(
        create("a", "Strict").await,
        Reason::BadRequest,
        "Playlist in version \"v0alpha1\" cannot be handled as a Playlist: strict decoding error: \
         unknown field \"spec.foo\", unknown field \"spec.items[0].bar\", \
         duplicate field \"spec.title\"",
    );
    for (name, validation, count) in [("b", "Ignore", 0), ("c", "Warn", 3), ("d", "", 3)] {
        let written = create(name, validation).await.unwrap();
        assert_eq!(written.warnings.len(), count, "{:?}", written.warnings);
        assert_eq!(
            value(&written.object)["spec"],
            json!({"title": "b", "interval": "1m",
                "items": [{"type": "dashboard_by_uid", "value": "v"}]})
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_does_everything_but_the_write() {
    let world = World::new();
    let dry = WriteOptions {
        dry_run: vec!["All".into()],
        ..WriteOptions::default()
    };
    let mut generated = folder("");
    generated["metadata"] = json!({"generateName": "x"});
    let written = world.create_with(&generated, &dry).await.unwrap();
    assert_eq!(written.object.revision(), Revision::ZERO);
    let shown = value(&written.object);
    assert!(shown["metadata"].get("resourceVersion").is_none());
    assert!(shown["metadata"]["uid"].is_string() && shown["metadata"]["name"].is_string());
    assert_eq!(*world.objects.backend().head().borrow(), Revision::ZERO);
    world.create(&folder("a")).await.unwrap();
    let taken = world.create_with(&folder("a"), &dry).await;
    assert_eq!(taken.unwrap_err().reason(), Reason::AlreadyExists);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_and_deep_bodies_are_refused() {
    let world = World::new();
    let collection = world.collection(crate::support::DASHBOARDS);
    let create = async |spec: &str| {
        let body = format!(
            r#"{{"apiVersion":"dashboard.grafana.app/v1beta1","kind":"Dashboard",
            "metadata":{{"name":"d"}},"spec":{spec}}}"#
        );
        world
            .objects
            .create(&collection, body.as_bytes(), &WriteOptions::default())
            .await
    };
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(3 << 20));
    refused(
        create(&large).await,
        Reason::RequestEntityTooLarge,
        "Request entity too large: limit is 3145728",
    );
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(99), "]".repeat(99));
    let failure = create(&deep).await.unwrap_err();
    assert!(
        failure.message().contains("is nested deeper than 100"),
        "{failure}"
    );
    let failure = create("{\"a\":1e400}").await.unwrap_err();
    assert!(
        failure.message().contains("range of a 64-bit float"),
        "{failure}"
    );
}
