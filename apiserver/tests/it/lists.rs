use std::io::Read;

use flate2::read::GzDecoder;
use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::server::{PLAYLISTS, TABLE, TestServer, playlist};

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list_has_no_items() {
    let server = TestServer::start().await;
    let list = server.get(PLAYLISTS).await.expect(StatusCode::OK);
    insta::assert_json_snapshot!(list);
    let table = server
        .call(Method::GET, PLAYLISTS)
        .accept(TABLE)
        .send()
        .await
        .json();
    assert_eq!(table["rows"], Value::Array(vec![]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_of_one_revision() {
    let server = TestServer::start().await;
    for name in ["a", "b", "c"] {
        server.create(name).await;
    }
    let first = server
        .get(&format!("{PLAYLISTS}?limit=2"))
        .await
        .expect(StatusCode::OK);
    assert_eq!(names(&first), ["a", "b"]);
    server.create("bb").await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = format!("{PLAYLISTS}?limit=2&continue={token}");
    let second = server.get(&second).await.expect(StatusCode::OK);
    assert_eq!(names(&second), ["c"]);
    assert!(
        second["metadata"]["continue"]
            .as_str()
            .is_none_or(str::is_empty)
    );
    assert_eq!(
        first["metadata"]["resourceVersion"],
        second["metadata"]["resourceVersion"]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_one_document() {
    let server = TestServer::start().await;
    let count = 2 * apiserver::limits::STREAM_PAGE_ITEMS + 7;
    for number in 0..count {
        let body = resource_bytes(number);
        let reply = server.call(Method::POST, PLAYLISTS).body(body).send().await;
        assert_eq!(reply.code, 201);
    }
    let plain = server.get(PLAYLISTS).await;
    let list = plain.expect(StatusCode::OK);
    assert_eq!(names(&list).len(), count);
    assert!(names(&list).is_sorted());
    assert_eq!(
        list["metadata"],
        serde_json::json!({"resourceVersion": count.to_string()})
    );
    assert_eq!(plain.header("content-encoding"), "");
    let zero = server
        .get(&format!("{PLAYLISTS}?resourceVersion=0"))
        .await
        .json();
    assert_eq!(zero, list);
    let old = server
        .get(&format!("{PLAYLISTS}?resourceVersion=3"))
        .await
        .json();
    assert_eq!(old, list);

    let packed = server
        .call(Method::GET, PLAYLISTS)
        .header("accept-encoding", "gzip");
    let packed = packed.send().await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(packed.body.len() < plain.body.len() / 4);
    let mut text = Vec::new();
    GzDecoder::new(&packed.body[..])
        .read_to_end(&mut text)
        .unwrap();
    assert_eq!(text, plain.body);

    let table = server
        .call(Method::GET, PLAYLISTS)
        .accept(TABLE)
        .send()
        .await
        .json();
    assert_eq!(table["rows"].as_array().unwrap().len(), count);
    server.stop().await;
}

fn resource_bytes(number: usize) -> String {
    playlist(&format!("p{number:05}")).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn small_answers_are_not_compressed() {
    let server = TestServer::start().await;
    server.create("a").await;
    let reply = server
        .call(Method::GET, PLAYLISTS)
        .header("accept-encoding", "gzip")
        .send()
        .await;
    assert_eq!(reply.header("content-encoding"), "");
    reply.expect(StatusCode::OK);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_namespaces_at_once() {
    let server = TestServer::start().await;
    server.create("a").await;
    server.create_in("team-a", "b").await;
    let other = PLAYLISTS.replace("default", "team-a");
    let all = server
        .get("/apis/playlist.grafana.app/v0alpha1/playlists")
        .await
        .json();
    assert_eq!(names(&all), ["a", "b"]);
    assert_eq!(names(&server.get(&other).await.json()), ["b"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_list_can_answer_is_refused() {
    let server = TestServer::start().await;
    server.create("a").await;
    for (query, code, reason) in [
        ("limit=x", 400, "BadRequest"),
        ("limit=-1", 400, "BadRequest"),
        ("continue=nope", 400, "BadRequest"),
        ("labelSelector=a%20in%20(", 400, "BadRequest"),
        ("fieldSelector=spec.nope%3Dx", 400, "BadRequest"),
        ("resourceVersion=x", 400, "BadRequest"),
        ("resourceVersion=99", 504, "Timeout"),
        ("resourceVersionMatch=Exact", 422, "Invalid"),
        (
            "resourceVersion=1&resourceVersionMatch=Never",
            422,
            "Invalid",
        ),
        (
            "resourceVersion=0&resourceVersionMatch=Exact",
            422,
            "Invalid",
        ),
        ("sendInitialEvents=true", 422, "Invalid"),
    ] {
        server
            .get(&format!("{PLAYLISTS}?{query}"))
            .await
            .refused(code, reason);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_takes_too_long_is_given_up() {
    let server = TestServer::with(|config| {
        config.timeouts.request = std::time::Duration::from_millis(2);
    })
    .await;
    // The server waits a while for a revision that is not there yet.
    let reply = server.get(&format!("{PLAYLISTS}?resourceVersion=99")).await;
    assert_eq!(
        reply.refused(504, "Timeout"),
        "Timeout: request did not complete within requested timeout 2ms"
    );
    server.stop().await;
}
