use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{PLAYLISTS, TestServer};

/// Longest wait for a connection that must be closed.
const PATIENCE: Duration = Duration::from_secs(20);

async fn quick() -> TestServer {
    TestServer::with(|config| {
        config.timeouts.headers = Duration::from_millis(200);
        config.timeouts.body = Duration::from_millis(200);
        config.timeouts.idle = Duration::from_millis(300);
    })
    .await
}

/// Reads until the server closes, and returns what it said.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end as good as any.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_request_is_not_waited_for() {
    let server = quick().await;
    for start in [
        "",
        "G",
        "GET /livez HTTP/1.1\r\n",
        "GET /livez HTTP/1.1\r\nhost: a\r\nx: ",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "PRI * HTTP/2.0",
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let said = until_closed(&mut stream).await;
        assert!(!said.contains("200 OK"), "{start:?}: {said}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_body_is_not_waited_for() {
    let server = quick().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("POST {PLAYLISTS} HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{{\"a");
    stream.write_all(head.as_bytes()).await.unwrap();
    let said = until_closed(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed() {
    let server = quick().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let said = until_closed(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 200 OK"), "{said}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_is_not_idle() {
    let server = quick().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("GET {PLAYLISTS}?watch=true&timeoutSeconds=3 HTTP/1.1\r\nhost: a\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let start = tokio::time::Instant::now();
    let said = until_closed(&mut stream).await;
    assert!(said.ends_with("\r\n0\r\n\r\n"), "the watch was cut: {said}");
    assert!(start.elapsed() >= Duration::from_secs(3));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_answered_or_closed() {
    let server = quick().await;
    let long_line = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(200 << 10));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(500));
    let requests: [&[u8]; 12] = [
        b"\0\0\0\0\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: nope\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET http://other/ HTTP/1.1\r\nx\0: y\r\n\r\n",
        long_line.as_bytes(),
        many.as_bytes(),
    ];
    for request in requests {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // The server may close before the last bytes are out.
        let _ = stream.write_all(request).await;
        let said = until_closed(&mut stream).await;
        let head = String::from_utf8_lossy(&request[..request.len().min(60)]).into_owned();
        assert!(!said.starts_with("HTTP/1.1 200"), "{head:?}: {said}");
    }
    assert_eq!(server.get("/livez").await.code, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_is_closed() {
    let server = TestServer::with(|config| config.limits.connections = 2).await;
    let request = b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'H');
        open.push(stream);
    }
    let mut third = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(until_closed(&mut third).await, "");
    open.clear();
    // Room is made when the server sees that the others have gone.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        assert!(tokio::time::Instant::now() < deadline, "room was not made");
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        if stream.write_all(request).await.is_ok() && stream.read_u8().await.is_ok() {
            break;
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_a_row_use_one_connection() {
    let server = TestServer::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = "GET /livez HTTP/1.1\r\nhost: a\r\n\r\n".repeat(20);
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let said = until_closed(&mut stream).await;
    assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 21);
    server.stop().await;
}
