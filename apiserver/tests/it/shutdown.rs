use std::time::Duration;

use http_body_util::BodyExt;
use hyper::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{PLAYLISTS, TestServer, playlist};

#[tokio::test(flavor = "multi_thread")]
async fn watches_end_cleanly_and_writes_are_finished() {
    let server = TestServer::start().await;
    server.create("a").await;
    let path = format!("{PLAYLISTS}?watch=true&resourceVersion=1&allowWatchBookmarks=true");
    let watch = server.call(Method::GET, &path).open().await;
    assert_eq!(watch.status(), 200);
    server.create_in("other", "b").await;

    // A write whose body is still on its way when the shutdown begins.
    let body = playlist("late").to_string();
    let mut writer = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST {PLAYLISTS} HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    writer.write_all(head.as_bytes()).await.unwrap();
    let mut buffer = [0; 25];
    writer.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"HTTP/1.1 100 Continue\r\n\r\n");

    server.shutdown.cancel();
    let events = watch.into_body().collect().await.unwrap().to_bytes();
    let events = String::from_utf8(events.to_vec()).unwrap();
    assert!(events.starts_with("{\"type\":\"BOOKMARK\""), "{events}");

    // While the write is waited for, others are told to come back.
    let refused = server.get(PLAYLISTS).await;
    refused.refused(503, "ServiceUnavailable");
    assert_eq!(refused.header("retry-after"), "1");
    let ready = server.get("/readyz").await;
    assert_eq!(ready.code, 500);
    assert!(ready.text().contains("[-]shutdown failed"));
    assert_eq!(server.get("/livez").await.code, StatusCode::OK);

    writer.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    writer.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let address = server.address;
    server.ended().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_long_is_cut() {
    let server =
        TestServer::with(|config| config.timeouts.drain = Duration::from_millis(200)).await;
    let mut writer = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST {PLAYLISTS} HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n"
    );
    writer.write_all(head.as_bytes()).await.unwrap();
    let mut buffer = [0; 25];
    writer.read_exact(&mut buffer).await.unwrap();
    server.stop().await;
    let mut rest = Vec::new();
    // Closed or reset, but over.
    let _ = writer.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_do_not_hold_it_up() {
    let server = TestServer::start().await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(idle.read_u8().await.unwrap(), b'H');
    let _silent = TcpStream::connect(server.address).await.unwrap();
    tokio::time::timeout(Duration::from_secs(4), server.stop())
        .await
        .unwrap();
}
