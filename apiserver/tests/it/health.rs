use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use apiserver::HealthCheck;
use hyper::Method;

use crate::server::TestServer;

#[derive(Debug)]
struct Store(Arc<AtomicBool>);

impl HealthCheck for Store {
    fn name(&self) -> &str {
        "store"
    }
    fn check(&self) -> Result<(), String> {
        if self.0.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err("cannot reach db with password hunter2".into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_show_their_checks() {
    let well = Arc::new(AtomicBool::new(true));
    let check = Arc::new(Store(Arc::clone(&well)));
    let server = TestServer::with(|config| config.checks.push(check)).await;
    for path in [
        "/livez",
        "/readyz",
        "/healthz",
        "/livez/",
        "/livez/ping",
        "/readyz/store",
    ] {
        let reply = server.get(path).await;
        assert_eq!((reply.code, reply.text()), (200, "ok"), "{path}");
        assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
    }
    assert_eq!(
        server.get("/readyz?verbose").await.text(),
        "[+]ping ok\n[+]store ok\n[+]shutdown ok\nreadyz check passed\n"
    );
    well.store(false, Ordering::SeqCst);
    let reply = server.get("/readyz").await;
    assert_eq!(reply.code, 500);
    assert!(reply.text().contains("[-]store failed"));
    assert!(!reply.text().contains("hunter2"));
    assert_eq!(server.get("/readyz?exclude=store").await.code, 200);
    assert_eq!(server.get("/livez").await.code, 200);
    assert_eq!(server.get("/readyz/nope").await.code, 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_rendered_by_the_owner() {
    let server = TestServer::with(|config| {
        config.metrics = Some(Arc::new(|| "up 1\n".to_owned()));
    })
    .await;
    let reply = server.get("/metrics").await;
    assert_eq!((reply.code, reply.text()), (200, "up 1\n"));
    assert!(
        reply
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    server.stop().await;
    let bare = TestServer::start().await;
    assert_eq!(bare.get("/metrics").await.code, 404);
    bare.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn version_and_unknown_paths() {
    let server = TestServer::start().await;
    let reply = server.get("/version/").await;
    assert_eq!(reply.code, 200);
    assert_eq!(reply.json()["major"], "1");
    assert!(
        reply.json()["minor"]
            .as_str()
            .unwrap()
            .parse::<u32>()
            .is_ok()
    );
    assert_eq!(reply.header("audit-id").len(), 36);
    for path in [
        "/nope",
        "/apis/nope.io",
        "/apis/nope.io/v1",
        "/apis/playlist.grafana.app/v9",
        "/apis/playlist.grafana.app/v0alpha1/nope",
        "/apis/playlist.grafana.app/v0alpha1/namespaces/default/nope/x",
        "/swagger-2.0.0.pb-v1",
    ] {
        let reply = server.get(path).await;
        assert_eq!(
            (reply.code, reply.text()),
            (404, "404 page not found\n"),
            "{path}"
        );
        assert!(!reply.header("audit-id").is_empty());
    }
    let paths = server.get("/").await.json();
    let paths = paths["paths"].as_array().unwrap();
    assert!(paths.contains(&"/apis/playlist.grafana.app/v0alpha1".into()));
    let reply = server.call(Method::POST, "/version").send().await;
    reply.refused(405, "MethodNotAllowed");
    server.stop().await;
}

#[derive(Debug)]
struct Broken;

impl HealthCheck for Broken {
    fn name(&self) -> &str {
        "broken"
    }
    fn check(&self) -> Result<(), String> {
        panic!("a check that breaks")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_an_answer() {
    let server = TestServer::with(|config| config.checks.push(Arc::new(Broken))).await;
    let message = server.get("/readyz").await.refused(500, "InternalError");
    assert!(!message.contains("breaks"), "{message}");
    assert_eq!(server.get("/livez").await.code, 200);
    server.stop().await;
}
