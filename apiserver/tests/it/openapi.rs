use hyper::Method;

use crate::server::TestServer;

const PLAYLIST: &str = "apis/playlist.grafana.app/v0alpha1";
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

#[tokio::test(flavor = "multi_thread")]
async fn document_of_a_group_version() {
    let server = TestServer::start().await;
    let document = server.get(&format!("/openapi/v3/{PLAYLIST}")).await.json();
    insta::assert_json_snapshot!(document);
    server.stop().await;
}

/// Clients keep a document for ever under its hash.
#[tokio::test(flavor = "multi_thread")]
async fn documents_are_found_by_their_hash() {
    let server = TestServer::start().await;
    let index = server.get("/openapi/v3?timeout=32s").await.json();
    let url = index["paths"][PLAYLIST]["serverRelativeURL"]
        .as_str()
        .unwrap();
    let (path, hash) = url.split_once("?hash=").unwrap();
    assert_eq!(path, format!("/openapi/v3/{PLAYLIST}"));

    let reply = server.get(&format!("{url}&timeout=32s")).await;
    assert_eq!(reply.code, 200);
    assert_eq!(reply.header("cache-control"), "public, immutable");
    assert_eq!(reply.header("vary"), "Accept");
    assert_eq!(reply.header("etag"), format!("\"{hash}\""));
    assert_eq!(reply.header("expires"), "Mon, 15 Jun 2026 15:06:40 GMT");

    let known = server
        .call(Method::GET, url)
        .header("if-none-match", format!("\"{hash}\""));
    let known = known.send().await;
    assert_eq!((known.code, known.body.len()), (304, 0));

    let old = server.get(&format!("{path}?hash=ABC")).await;
    assert_eq!((old.code, old.header("location")), (301, url));
    assert_eq!(server.get("/openapi/v3/apis/nope.io/v1").await.code, 404);
    server.stop().await;
}

/// kubectl 1.27 and 1.28 stop when there is no version 2, and fail when the `@` comes back.
#[tokio::test(flavor = "multi_thread")]
async fn version_2_is_an_empty_document() {
    let server = TestServer::start().await;
    let reply = server
        .call(Method::GET, "/openapi/v2")
        .accept(PROTOBUF)
        .send()
        .await;
    assert_eq!((reply.code, reply.body.len()), (200, 0));
    assert_eq!(
        reply.header("content-type"),
        "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    );
    for accept in ["application/json", "*/*"] {
        let reply = server
            .call(Method::GET, "/openapi/v2")
            .accept(accept)
            .send()
            .await;
        assert_eq!(reply.json()["swagger"], "2.0");
    }
    assert_eq!(server.get("/openapi/v2").await.json()["swagger"], "2.0");
    let reply = server
        .call(Method::GET, "/openapi/v2")
        .accept("text/html")
        .send()
        .await;
    reply.refused(406, "NotAcceptable");
    server.stop().await;
}
