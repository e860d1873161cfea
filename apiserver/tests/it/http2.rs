use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::server::{PLAYLISTS, TestServer, playlist};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

async fn connect(server: &TestServer) -> (SendRequest<Full<Bytes>>, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    (sender, tokio::spawn(connection))
}

fn request(method: Method, path: &str, body: String) -> Request<Full<Bytes>> {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://test{path}"));
    request.body(Full::new(body.into())).unwrap()
}

/// A client's informers share one connection.
#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_watches_on_one_connection() {
    let server = TestServer::start().await;
    let (sender, connection) = connect(&server).await;
    let path = format!("{PLAYLISTS}?watch=true&resourceVersion=0");
    let watches = join_all((0..300).map(|_| {
        let mut sender = sender.clone();
        let request = request(Method::GET, &path, String::new());
        async move { sender.send_request(request).await.unwrap() }
    }))
    .await;
    let create = request(Method::POST, PLAYLISTS, playlist("one").to_string());
    let created = sender.clone().send_request(create).await.unwrap();
    assert_eq!(created.status(), 201);
    for watch in watches {
        assert_eq!(watch.status(), 200);
        let frame = watch.into_body().frame().await.unwrap().unwrap();
        let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
        assert!(text.starts_with("{\"type\":\"ADDED\""), "{text}");
    }
    drop(sender);
    connection.abort();
    server.stop().await;
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Frames that break the protocol, or use it up: the connection ends, the server does not.
#[tokio::test(flavor = "multi_thread")]
async fn broken_frames_end_their_connection_alone() {
    let server = TestServer::with(|config| {
        config.timeouts.headers = Duration::from_millis(300);
        config.timeouts.idle = Duration::from_millis(300);
    })
    .await;
    let settings = frame(4, 0, 0, &[]);
    // :method GET, :scheme http, :path /, then nothing: no authority is fine.
    let headers = [0x82, 0x86, 0x84];
    let resets: Vec<u8> = (0..3_000u32)
        .flat_map(|n| {
            let mut both = frame(1, 0x5, n * 2 + 1, &headers);
            both.extend(frame(3, 0, n * 2 + 1, &8u32.to_be_bytes()));
            both
        })
        .collect();
    let mut flood = frame(1, 0x1, 1, &headers);
    for _ in 0..5_000 {
        flood.extend(frame(9, 0, 1, &[0x40, 1, b'a', 1, b'b']));
    }
    for attack in [
        frame(0, 0, 0, b"data on stream 0"),
        frame(1, 0x5, 0, &headers),
        frame(1, 0x5, 2, &headers),
        frame(1, 0x5, 1, &[0xff; 40]),
        frame(3, 0, 9, &[0; 4]),
        frame(4, 0, 0, &[0; 5]),
        frame(5, 0, 1, &[0; 8]),
        frame(6, 0, 0, &[0; 3]),
        frame(8, 0, 0, &[0; 4]),
        frame(9, 0, 1, &headers),
        [
            frame(8, 0, 0, &0x7fff_ffffu32.to_be_bytes()),
            frame(8, 0, 0, &0x7fff_ffffu32.to_be_bytes()),
        ]
        .concat(),
        vec![0xff; 4_096],
        resets,
        flood,
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let sent = [PREFACE, &settings, &attack].concat();
        // The server may close before the last bytes are out.
        let _ = stream.write_all(&sent).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.is_empty());
    }
    let (mut sender, connection) = connect(&server).await;
    let response = sender
        .send_request(request(Method::GET, "/livez", String::new()))
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    connection.abort();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_header_lists_are_refused() {
    let server = TestServer::start().await;
    let (mut sender, connection) = connect(&server).await;
    let mut long = request(Method::GET, "/livez", String::new());
    for index in 0..90 {
        let name = hyper::header::HeaderName::try_from(format!("x-{index}")).unwrap();
        long.headers_mut()
            .insert(name, "v".repeat(1_000).parse().unwrap());
    }
    let answer = sender.send_request(long).await;
    assert!(answer.is_err() || answer.unwrap().status() == 431);
    connection.abort();
    assert_eq!(server.get("/livez").await.code, 200);
    server.stop().await;
}
