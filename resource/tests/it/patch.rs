use resource::{Effect, Patch, Reason};
use serde_json::json;

use crate::support::{World, folder, refused, value};

#[tokio::test(flavor = "multi_thread")]
async fn patches_change_objects() {
    let world = World::new();
    world.add("a", "x").await;
    let merge = json!({"metadata": {"labels": {"app": null, "b": "c"}}, "spec": {"parent": "p"}});
    let merged = world.merge("a", &merge).await.unwrap();
    assert_eq!(merged.effect, Effect::Updated);
    let merged = value(&merged.object);
    assert_eq!(merged["metadata"]["labels"], json!({"b": "c"}));
    assert_eq!(merged["spec"], json!({"title": "a", "parent": "p"}));
    assert_eq!(merged["metadata"]["generation"], 2);

    let operations = br#"[{"op":"test","path":"/metadata/resourceVersion","value":"2"},
        {"op":"remove","path":"/spec/parent"},
        {"op":"add","path":"/metadata/annotations","value":{"a/b":"c"}}]"#;
    let patched = value(
        &world
            .patch("a", Patch::Json(operations))
            .await
            .unwrap()
            .object,
    );
    assert_eq!(patched["spec"], json!({"title": "a"}));
    assert_eq!(patched["metadata"]["annotations"], json!({"a/b": "c"}));

    let same = world
        .merge("a", &json!({"spec": {"title": "a"}}))
        .await
        .unwrap();
    assert_eq!(
        (same.effect, same.object.revision().get()),
        (Effect::Unchanged, 3)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_in_a_patch_is_a_precondition() {
    let world = World::new();
    world.create(&folder("a")).await.unwrap();
    let patch = |version: &str, title: &str| json!({"metadata": {"resourceVersion": version}, "spec": {"title": title}});
    assert!(world.merge("a", &patch("1", "b")).await.is_ok());
    let stale = world.merge("a", &patch("1", "c")).await.unwrap_err();
    assert_eq!(stale.reason(), Reason::Conflict);
    assert!(
        world
            .merge("a", &json!({"metadata": {"resourceVersion": null}}))
            .await
            .is_ok()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_patches_are_refused() {
    let world = World::new();
    world.create(&folder("a")).await.unwrap();
    let missing = world.merge("missing", &json!({})).await;
    refused(
        missing,
        Reason::NotFound,
        "folders.folder.grafana.app \"missing\" not found",
    );
    let list = world.merge("a", &json!([])).await;
    refused(
        list,
        Reason::BadRequest,
        "a merge patch must be a JSON object, not array",
    );
    let object = world.patch("a", Patch::Json(b"{}")).await;
    let words = "a JSON patch must be an array of operations, not object";
    refused(object, Reason::BadRequest, words);
    let test = br#"[{"op":"test","path":"/spec/title","value":"z"}]"#;
    refused(
        world.patch("a", Patch::Json(test)).await,
        Reason::Invalid,
        "the server rejected our request due to an error in our request",
    );
    refused(
        world.merge("a", &json!({"spec": {"title": 1}})).await,
        Reason::Invalid,
        "Folder.folder.grafana.app \"a\" is invalid: spec.title: Invalid value: \"integer\": \
         spec.title in body must be of type string: \"integer\"",
    );
    refused(
        world.merge("a", &json!({"metadata": {"name": "b"}})).await,
        Reason::BadRequest,
        "the name of the object (b) does not match the name on the URL (a)",
    );
    refused(
        world.merge("a", &json!({"kind": "Other"})).await,
        Reason::BadRequest,
        "kind cannot be patched: it must be Folder",
    );
    let whole = br#"[{"op":"replace","path":"","value":5}]"#;
    let failure = world.patch("a", Patch::Json(whole)).await.unwrap_err();
    assert_eq!(failure.reason(), Reason::BadRequest);
    assert_eq!(world.get("a").await.unwrap().revision().get(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_are_read_as_strictly_as_asked() {
    let world = World::new();
    world.create(&folder("a")).await.unwrap();
    let strict = resource::WriteOptions {
        field_validation: "Strict".into(),
        ..Default::default()
    };
    let patch = async |patch: Patch<'_>| {
        let target = world.folder("a");
        world.objects.patch(&target, patch, &strict).await
    };
    refused(
        patch(Patch::Merge(
            br#"{"spec":{"foo":1,"title":"b","title":"c"}}"#,
        ))
        .await,
        Reason::BadRequest,
        "strict decoding error: duplicate field \"spec.title\", unknown field \"spec.foo\"",
    );
    refused(
        patch(Patch::Json(br#"[{"op":"remove","path":"/spec/x","y":1}]"#)).await,
        Reason::Invalid,
        "the server rejected our request due to an error in our request",
    );
    refused(
        patch(Patch::Json(
            br#"[{"op":"test","path":"/spec/title","value":"a","y":1}]"#,
        ))
        .await,
        Reason::BadRequest,
        "strict decoding error: json patch unknown field \"[0].y\"",
    );
}

#[test]
fn media_types() {
    let of = |media_type| Patch::from_media_type(media_type, b"");
    assert_eq!(
        of("application/merge-patch+json; charset=utf-8").unwrap(),
        Patch::Merge(b"")
    );
    assert_eq!(of("application/json-patch+json").unwrap(), Patch::Json(b""));
    for other in [
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
        "",
    ] {
        refused(
            of(other),
            Reason::UnsupportedMediaType,
            "the body of the request was in an unknown format - accepted media types include: \
             application/json-patch+json, application/merge-patch+json",
        );
    }
}
