use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Call, Reply};
use crate::server::{PLAYLISTS, TABLE, TestServer};

/// Longest wait for an event that must come.
const PATIENCE: Duration = Duration::from_secs(20);

struct Events {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Events {
    async fn open(call: Call) -> Self {
        // The head comes before any event.
        let response = tokio::time::timeout(PATIENCE, call.open()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/json");
        Self {
            body: response.into_body(),
            buffer: Vec::new(),
        }
    }

    /// Returns the next event; none when the watch ended cleanly.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame())
                .await
                .unwrap();
            let Some(frame) = frame else {
                assert!(self.buffer.is_empty(), "the watch ended inside of an event");
                return None;
            };
            self.buffer.extend(frame.unwrap().into_data().unwrap());
        }
    }

    async fn expect(&mut self, kind: &str, name: &str) -> Value {
        let event = self.next().await.expect("an event");
        assert_eq!(event["type"], kind, "{event}");
        assert_eq!(event["object"]["metadata"]["name"], name, "{event}");
        event["object"].clone()
    }
}

async fn patch(server: &TestServer, name: &str, body: &str) {
    let call = server.call(Method::PATCH, &format!("{PLAYLISTS}/{name}"));
    let call = call
        .header("content-type", "application/merge-patch+json")
        .body(body.to_owned());
    call.send().await.expect(StatusCode::OK);
}

async fn watch(server: &TestServer, query: &str) -> Events {
    let path = format!("{PLAYLISTS}?watch=true&{query}");
    Events::open(server.call(Method::GET, &path)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_arrive_in_order() {
    let server = TestServer::start().await;
    server.create("old").await;
    let mut events = watch(&server, "resourceVersion=1").await;
    let created = server.create("one").await;
    assert_eq!(events.expect("ADDED", "one").await, created);
    patch(&server, "one", r#"{"spec":{"title":"Two"}}"#).await;
    let modified = events.expect("MODIFIED", "one").await;
    assert_eq!(modified["spec"]["title"], "Two");
    let path = format!("{PLAYLISTS}/one");
    server
        .call(Method::DELETE, &path)
        .send()
        .await
        .expect(StatusCode::OK);
    let deleted = events.expect("DELETED", "one").await;
    assert_eq!(deleted["spec"]["title"], "Two");
    assert_eq!(deleted["metadata"]["resourceVersion"], "4");
    server.stop().await;
}

/// `kubectl get NAME -w` reads the object, watches from 0, and throws the first event away.
#[tokio::test(flavor = "multi_thread")]
async fn watches_from_nothing_begin_with_what_is_there() {
    let server = TestServer::start().await;
    server.create("a").await;
    server.create("b").await;
    for query in ["resourceVersion=0", ""] {
        let mut events = watch(&server, query).await;
        events.expect("ADDED", "a").await;
        events.expect("ADDED", "b").await;
    }
    let by_name = format!("{PLAYLISTS}/b?watch=1&resourceVersion=0");
    let old_form = "/apis/playlist.grafana.app/v0alpha1/watch/namespaces/default/playlists/b";
    for path in [by_name.as_str(), old_form] {
        let mut events = Events::open(server.call(Method::GET, path)).await;
        events.expect("ADDED", "b").await;
        patch(&server, "a", r#"{"spec":{"interval":"1m"}}"#).await;
        patch(&server, "a", r#"{"spec":{"interval":"5m"}}"#).await;
        patch(&server, "b", r#"{"spec":{"interval":"1m"}}"#).await;
        events.expect("MODIFIED", "b").await;
        patch(&server, "b", r#"{"spec":{"interval":"5m"}}"#).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_list_tells_where_the_list_ends() {
    let server = TestServer::start().await;
    server.create("a").await;
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut events = watch(&server, query).await;
    events.expect("ADDED", "a").await;
    let bookmark = events.next().await.unwrap();
    insta::assert_json_snapshot!(bookmark);
    server.create("b").await;
    events.expect("ADDED", "b").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_enter_and_leave_a_selection() {
    let server = TestServer::start().await;
    let mut events = watch(&server, "labelSelector=app%3Da&resourceVersion=0").await;
    server.create("one").await;
    events.expect("ADDED", "one").await;
    patch(&server, "one", r#"{"metadata":{"labels":{"app":"b"}}}"#).await;
    let left = events.expect("DELETED", "one").await;
    assert_eq!(left["metadata"]["labels"]["app"], "a");
    assert_eq!(left["metadata"]["resourceVersion"], "2");
    patch(&server, "one", r#"{"metadata":{"labels":{"app":"a"}}}"#).await;
    events.expect("ADDED", "one").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_at_its_time_with_a_bookmark() {
    let server = TestServer::start().await;
    server.create("a").await;
    let query = "resourceVersion=1&timeoutSeconds=1&allowWatchBookmarks=true";
    let mut events = watch(&server, query).await;
    // Not an event of this watch, but one that its client is past.
    server.create_in("other", "b").await;
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(
        bookmark["object"],
        json!({"kind": "Playlist", "apiVersion": "playlist.grafana.app/v0alpha1",
            "metadata": {"creationTimestamp": null, "resourceVersion": "2"}})
    );
    assert_eq!(events.next().await, None);
    let mut events = watch(&server, "resourceVersion=2&timeoutSeconds=1").await;
    assert_eq!(events.next().await, None);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_watched_table() {
    let server = TestServer::start().await;
    server.create("a").await;
    let path = format!("{PLAYLISTS}?watch=true&resourceVersion=0");
    let mut events = Events::open(server.call(Method::GET, &path).accept(TABLE)).await;
    let first = events.next().await.unwrap();
    assert_eq!(first["type"], "ADDED");
    assert_eq!(first["object"]["kind"], "Table");
    assert_eq!(first["object"]["columnDefinitions"][0]["name"], "Name");
    assert_eq!(first["object"]["rows"][0]["cells"][0], "a");
    assert_eq!(
        first["object"]["rows"][0]["object"]["metadata"]["name"],
        "a"
    );
    server.create("b").await;
    let second = events.next().await.unwrap();
    assert_eq!(second["object"]["columnDefinitions"], Value::Null);
    assert_eq!(second["object"]["rows"][0]["cells"][0], "b");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_what_is_watched() {
    let server = TestServer::start().await;
    server.create("a").await;
    let path = format!("{PLAYLISTS}?watch=true&resourceVersion=0");
    let accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let mut events = Events::open(server.call(Method::GET, &path).accept(accept)).await;
    let object = events.expect("ADDED", "a").await;
    assert_eq!(object["kind"], "PartialObjectMetadata");
    assert_eq!(object["spec"], Value::Null);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_that_cannot_begin_are_refused() {
    let server = TestServer::start().await;
    server.create("a").await;
    for (query, code, reason) in [
        ("labelSelector=%21%21", 400, "BadRequest"),
        ("resourceVersion=x", 400, "BadRequest"),
        ("timeoutSeconds=x", 400, "BadRequest"),
        ("sendInitialEvents=true", 422, "Invalid"),
        ("resourceVersionMatch=NotOlderThan", 422, "Invalid"),
    ] {
        let reply = server.get(&format!("{PLAYLISTS}?watch=true&{query}")).await;
        reply.refused(code, reason);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_does_not_take_all_watches() {
    let server = TestServer::with(|config| config.limits.watches_per_user = 2).await;
    let first = watch(&server, "").await;
    let _second = watch(&server, "").await;
    let third = server.call(Method::GET, &format!("{PLAYLISTS}?watch=true"));
    let third = third.open().await;
    assert_eq!(third.status(), 429);
    let reply = Reply::read(third).await;
    reply.refused(429, "TooManyRequests");
    assert_eq!(reply.header("retry-after"), "1");
    drop(first);
    // The place is given back when the server sees that the client has gone.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let call = server.call(Method::GET, &format!("{PLAYLISTS}?watch=true"));
        if call.open().await.status() == 200 {
            break;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "the place was not given back"
        );
        tokio::task::yield_now().await;
    }
    server.create("still").await;
    server.stop().await;
}
