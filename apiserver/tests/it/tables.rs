use std::time::Duration;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{PLAYLISTS, TABLE, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_objects_are_shown_by_their_columns() {
    let server = TestServer::start().await;
    server.create("one").await;
    server.clock.advance(Duration::from_secs(3 * 3600 + 120));
    server.create("two").await;
    let list = server
        .call(Method::GET, PLAYLISTS)
        .accept(TABLE)
        .send()
        .await;
    insta::assert_json_snapshot!(list.expect(StatusCode::OK));

    let path = format!("{PLAYLISTS}/one");
    let one = server
        .call(Method::GET, &path)
        .accept(TABLE)
        .send()
        .await
        .expect(StatusCode::OK);
    assert_eq!(
        one["rows"],
        Value::from(vec![list.json()["rows"][0].clone()])
    );
    assert_eq!(one["metadata"]["resourceVersion"], "1");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ages_are_computed_here() {
    let server = TestServer::start().await;
    let column =
        |name: &str, kind: &str, path: &str| json!({"name": name, "type": kind, "jsonPath": path});
    let columns = [
        column("Text", "string", ".spec.text"),
        column("Size", "integer", ".spec.size"),
        column("Share", "number", ".spec.share"),
        column("On", "boolean", ".spec.on"),
        column(
            "Ready",
            "string",
            ".status.conditions[?(@.type==\"Ready\")].status",
        ),
        column("Age", "date", ".metadata.creationTimestamp"),
        column("Since", "date", ".spec.text"),
        column("Wrong", "integer", ".spec.text"),
    ];
    server.kinds.apply(&widget(&columns)).unwrap();
    let widgets = "/apis/example.com/v1/namespaces/default/widgets";
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "w"},
        "spec": {"text": "some", "size": 3, "share": 0.5, "on": true},
        "status": {"conditions": [{"type": "Old", "status": "No"},
            {"type": "Ready", "status": "Yes"}]}});
    server
        .call(Method::POST, widgets)
        .json(&widget)
        .send()
        .await
        .expect(StatusCode::CREATED);
    server.clock.advance(Duration::from_secs(3 * 3600 + 120));
    let table = server
        .call(Method::GET, widgets)
        .accept(TABLE)
        .send()
        .await
        .json();
    assert_eq!(
        table["rows"][0]["cells"],
        json!(["w", "some", 3, 0.5, true, "Yes", "3h2m", "<invalid>", null])
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_carry_what_is_asked_for() {
    let server = TestServer::start().await;
    let created = server.create("one").await;
    let ask = |include: &str| {
        let path = format!("{PLAYLISTS}?includeObject={include}");
        server.call(Method::GET, &path).accept(TABLE).send()
    };
    let none = ask("None").await.expect(StatusCode::OK);
    assert_eq!(none["rows"][0]["object"], Value::Null);
    let object = ask("Object").await.expect(StatusCode::OK);
    assert_eq!(object["rows"][0]["object"], created);
    for include in ["Metadata", ""] {
        let metadata = ask(include).await.expect(StatusCode::OK);
        let object = &metadata["rows"][0]["object"];
        assert_eq!(object["kind"], "PartialObjectMetadata");
        assert_eq!(object["metadata"], created["metadata"]);
        assert_eq!(object["spec"], Value::Null);
    }
    let message = ask("All").await.refused(400, "BadRequest");
    assert!(
        message.ends_with("must be 'Metadata', 'Object', 'None', or empty"),
        "{message}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_alone() {
    let server = TestServer::start().await;
    let created = server.create("one").await;
    let accept = |kind: &str| format!("application/json;as={kind};g=meta.k8s.io;v=v1");
    let list = server
        .call(Method::GET, PLAYLISTS)
        .accept(&accept("PartialObjectMetadataList"));
    let list = list.send().await.expect(StatusCode::OK);
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["apiVersion"], "meta.k8s.io/v1");
    assert_eq!(list["items"][0]["metadata"], created["metadata"]);
    assert_eq!(list["items"][0]["kind"], "PartialObjectMetadata");

    let path = format!("{PLAYLISTS}/one");
    let one = server
        .call(Method::GET, &path)
        .accept(&accept("PartialObjectMetadata"));
    assert_eq!(one.send().await.expect(StatusCode::OK), list["items"][0]);

    let wrong = server
        .call(Method::GET, &path)
        .accept(&accept("PartialObjectMetadataList"));
    wrong.send().await.refused(406, "NotAcceptable");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_shown_as_asked_too() {
    let server = TestServer::start().await;
    let call = server.call(Method::POST, PLAYLISTS).accept(TABLE);
    let reply = call.json(&crate::server::playlist("one")).send().await;
    assert_eq!(reply.expect(StatusCode::CREATED)["kind"], "Table");
    server.stop().await;
}

fn widget(columns: &[Value]) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
            "scope": "Namespaced",
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object",
                    "x-kubernetes-preserve-unknown-fields": true}},
                "additionalPrinterColumns": columns,
            }],
        },
    })
}
