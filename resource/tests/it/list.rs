use std::time::Duration;

use resource::{ListParameters, Reason};
use serde_json::{Value, json};
use storage_core::{Retention, StorageBackend};

use crate::support::{FOLDERS, World, folder, names, refused, selecting};

async fn filled(count: usize) -> World {
    let world = World::new();
    for index in 0..count {
        let label = if index % 2 == 0 { "even" } else { "odd" };
        world.add(&format!("f{index:03}"), label).await;
    }
    world
}

fn page(limit: u64, token: Option<&str>) -> ListParameters {
    ListParameters {
        limit: Some(limit),
        continue_token: token.unwrap_or_default().into(),
        ..ListParameters::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list_has_items_and_a_version() {
    let world = World::new();
    world.create(&crate::support::playlist("p")).await.unwrap();
    let list = world.list(&ListParameters::default()).await.unwrap();
    let shown: Value = serde_json::from_slice(&list.to_json()).unwrap();
    assert_eq!(
        shown,
        json!({"apiVersion": "folder.grafana.app/v1beta1", "kind": "FolderList",
            "metadata": {"resourceVersion": "1"}, "items": []})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_the_state_of_the_first() {
    let world = filled(7).await;
    let first = world.list(&page(3, None)).await.unwrap();
    assert_eq!(names(&first.items), ["f000", "f001", "f002"]);
    assert_eq!(first.remaining, Some(4));
    let shown: Value = serde_json::from_slice(&first.to_json()).unwrap();
    assert_eq!(shown["metadata"]["remainingItemCount"], 4);
    assert_eq!(shown["items"][2]["kind"], "Folder");

    world.delete("f004").await.unwrap();
    world.retitle("f005", "new").await;
    world.add("f0031", "x").await;
    let second = world.list(&page(3, first.next.as_deref())).await.unwrap();
    assert_eq!(names(&second.items), ["f003", "f004", "f005"]);
    assert_eq!(second.revision, first.revision);
    assert_eq!(second.items[2].revision().get(), 6);
    let last = world.list(&page(3, second.next.as_deref())).await.unwrap();
    assert_eq!(names(&last.items), ["f006"]);
    assert_eq!(
        (last.revision, last.next, last.remaining),
        (first.revision, None, None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_what_matches() {
    let world = filled(9).await;
    let mut parameters = page(2, None);
    parameters.label_selector = "app=odd".into();
    let mut found = Vec::new();
    loop {
        let list = world.list(&parameters).await.unwrap();
        assert_eq!(list.remaining, None);
        found.extend(names(&list.items).into_iter().map(String::from));
        match list.next {
            Some(next) => parameters.continue_token = next,
            None => break,
        }
    }
    assert_eq!(found, ["f001", "f003", "f005", "f007"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_for_its_list_only() {
    let world = filled(3).await;
    let next = world.list(&page(1, None)).await.unwrap().next.unwrap();
    let words = "invalid continue token: it was not given out for this list";
    let mut other = page(1, Some(&next));
    other.label_selector = "app".into();
    refused(world.list(&other).await, Reason::BadRequest, words);
    let everywhere = world.everywhere(FOLDERS);
    let list = world.objects.list(&everywhere, &page(1, Some(&next))).await;
    refused(list, Reason::BadRequest, words);
    let playlists = world.collection(crate::support::PLAYLISTS);
    let list = world.objects.list(&playlists, &page(1, Some(&next))).await;
    refused(list, Reason::BadRequest, words);
    let garbage = world.list(&page(1, Some("..."))).await;
    let words = "invalid continue token: it is not base64url without padding";
    refused(garbage, Reason::BadRequest, words);
    let mut versioned = page(1, Some(&next));
    versioned.resource_version = "2".into();
    let words = "specifying resource version is not allowed when using continue";
    refused(world.list(&versioned).await, Reason::BadRequest, words);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_ends_where_it_gets_large() {
    let world = World::new();
    for index in 0..8 {
        let mut body = folder(&format!("f{index}"));
        body["spec"]["description"] = "x".repeat(3_000_000).into();
        world.create(&body).await.unwrap();
    }
    let first = world.list(&page(500, None)).await.unwrap();
    assert_eq!((first.items.len(), first.remaining), (6, Some(2)));
    let second = world.list(&page(500, first.next.as_deref())).await.unwrap();
    assert_eq!(names(&second.items), ["f6", "f7"]);
    assert_eq!(second.next, None);
    let whole = world.list(&ListParameters::default()).await.unwrap();
    assert_eq!(whole.items.len(), 8);
}

/// Forgets every state but the newest.
async fn compact(world: &World) {
    world.clock.advance(Duration::from_secs(3600));
    let policy = Retention {
        changes_age_min: Duration::ZERO,
        changes_age_max: Some(Duration::ZERO),
        changes_max: Some(0),
        history_per_object: Some(1),
        trash_age_max: None,
        ..Retention::default()
    };
    while world.objects.backend().compact(&policy).await.unwrap().more {}
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_page_goes_on_with_the_newest_state() {
    let world = filled(5).await;
    let first = world.list(&page(2, None)).await.unwrap();
    world.delete("f003").await.unwrap();
    world.add("f0035", "x").await;
    world.retitle("f004", "new").await;
    compact(&world).await;
    let failure = world
        .list(&page(2, first.next.as_deref()))
        .await
        .unwrap_err();
    assert_eq!(failure.reason(), Reason::Expired);
    let token = failure.details().continue_token.clone().unwrap();
    let rest = world.list(&page(9, Some(&token))).await.unwrap();
    assert_eq!(names(&rest.items), ["f002", "f0035", "f004"]);
    assert!(rest.revision > first.revision);

    let exact = ListParameters {
        resource_version: "3".into(),
        resource_version_match: "Exact".into(),
        ..ListParameters::default()
    };
    refused(
        world.list(&exact).await,
        Reason::Expired,
        "The resourceVersion for the provided list is too old.",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_of_the_asked_state() {
    let world = filled(3).await;
    world.delete("f000").await.unwrap();
    let at = async |version: &str, matching: &str, limit: Option<u64>| {
        let parameters = ListParameters {
            resource_version: version.into(),
            resource_version_match: matching.into(),
            limit,
            ..ListParameters::default()
        };
        world.list(&parameters).await
    };
    let count = async |version: &str, matching: &str, limit| {
        at(version, matching, limit).await.unwrap().items.len()
    };
    assert_eq!(count("", "", None).await, 2);
    assert_eq!(count("0", "", None).await, 2);
    assert_eq!(count("3", "", None).await, 2);
    assert_eq!(count("3", "", Some(9)).await, 3);
    assert_eq!(count("3", "Exact", None).await, 3);
    assert_eq!(count("3", "NotOlderThan", Some(9)).await, 2);
    assert_eq!(count("2", "Exact", None).await, 2);
    let failure = refused(
        at("9", "NotOlderThan", None).await,
        Reason::Timeout,
        "Timeout: Too large resource version: 9, current: 4",
    );
    let details = failure.details();
    assert_eq!(details.causes[0].reason.as_str(), "ResourceVersionTooLarge");
    assert_eq!(details.causes[0].message, "Too large resource version");
    assert_eq!(details.retry_after_seconds, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_future_state_is_waited_for() {
    let world = filled(1).await;
    let mut parameters = selecting("", "");
    parameters.resource_version = "2".into();
    let folder = folder("late");
    let (list, created) = tokio::join!(world.list(&parameters), world.create(&folder));
    created.unwrap();
    assert_eq!(list.unwrap().items.len(), 2);
    assert!(world.get_at("late", "2", "").await.is_ok());
    refused(
        world.get_at("late", "3", "").await,
        Reason::Timeout,
        "Timeout: Too large resource version: 3, current: 2",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn selectors_choose() {
    let world = filled(4).await;
    world
        .merge("f001", &json!({"spec": {"parent": "root"}}))
        .await
        .unwrap();
    for (labels, fields, expected) in [
        ("app=even", "", vec!["f000", "f002"]),
        ("app in (odd),!gone", "", vec!["f001", "f003"]),
        ("", "metadata.name=f001", vec!["f001"]),
        ("app=even", "metadata.name=f001", vec![]),
        ("", "metadata.name=no such", vec![]),
        ("", "metadata.name=a/b", vec![]),
        ("", "spec.parent=root", vec!["f001"]),
        ("app=odd", "spec.parent!=root", vec!["f003"]),
        (
            "",
            "spec.title=f002,metadata.namespace=default",
            vec!["f002"],
        ),
        ("", "metadata.namespace=other", vec![]),
    ] {
        let list = world.list(&selecting(labels, fields)).await.unwrap();
        assert_eq!(names(&list.items), expected, "{labels:?} {fields:?}");
    }
    refused(
        world.list(&selecting("", "spec.x=1")).await,
        Reason::BadRequest,
        "field label not supported: spec.x",
    );
    let everywhere = world.everywhere(FOLDERS);
    let one = selecting("", "metadata.name=f001");
    let list = world.objects.list(&everywhere, &one).await.unwrap();
    assert_eq!(names(&list.items), ["f001"]);
}
