use hyper::Method;

use crate::server::TestServer;

const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const V2BETA1: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

#[tokio::test(flavor = "multi_thread")]
async fn legacy_documents() {
    let server = TestServer::start().await;
    let mut documents = serde_json::Map::new();
    for path in [
        "/api",
        "/apis",
        "/apis/playlist.grafana.app",
        "/apis/playlist.grafana.app/v0alpha1",
    ] {
        let reply = server.get(path).await;
        assert_eq!(reply.header("content-type"), "application/json");
        documents.insert(path.into(), reply.json());
    }
    insta::assert_json_snapshot!(documents);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aggregated_documents() {
    let server = TestServer::start().await;
    let accept = format!("{V2},{V2BETA1},application/json");
    let reply = server
        .call(Method::GET, "/apis?timeout=32s")
        .accept(&accept)
        .send()
        .await;
    assert_eq!(reply.header("content-type"), V2);
    assert_eq!(reply.header("vary"), "Accept");
    assert_eq!(reply.header("cache-control"), "public");
    insta::assert_json_snapshot!(reply.json());

    let accept = format!("{V2BETA1},application/json");
    let beta = server
        .call(Method::GET, "/apis")
        .accept(&accept)
        .send()
        .await;
    assert_eq!(beta.header("content-type"), V2BETA1);
    let (mut v2, beta) = (reply.json(), beta.json());
    assert_eq!(beta["apiVersion"], "apidiscovery.k8s.io/v2beta1");
    v2["apiVersion"] = beta["apiVersion"].clone();
    assert_eq!(v2, beta);
    server.stop().await;
}

/// A content type on a 304 goes into the client's cache and empties it.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_has_is_not_sent_again() {
    let server = TestServer::start().await;
    for path in ["/api", "/apis"] {
        let first = server.call(Method::GET, path).accept(V2).send().await;
        let tag = first.header("etag").to_owned();
        assert_eq!(tag.len(), 128 + 2);
        let again = server.call(Method::GET, path).accept(V2);
        let again = again.header("if-none-match", &tag).send().await;
        assert_eq!(again.code, 304);
        assert!(again.body.is_empty());
        assert_eq!(again.header("etag"), tag);
        assert!(!again.headers.contains_key("content-type"));
        let other = server.call(Method::GET, path).accept(V2);
        let other = other.header("if-none-match", "\"0\"").send().await;
        assert_eq!(other.code, 200);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_json_is_served() {
    let server = TestServer::start().await;
    for path in ["/api", "/apis", "/apis/playlist.grafana.app", "/openapi/v3"] {
        let reply = server
            .call(Method::GET, path)
            .accept("text/html")
            .send()
            .await;
        assert_eq!(
            reply.refused(406, "NotAcceptable"),
            "only the following media types are accepted: application/json"
        );
    }
    server.stop().await;
}
