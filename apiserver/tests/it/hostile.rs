//! What nobody sends by mistake: the right refusal for each, nothing written, the server alive.

use std::time::Duration;

use hyper::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::server::{PLAYLISTS, TestServer, playlist};

const V1: &str = "/apis/playlist.grafana.app/v0alpha1";

/// Segments that must not reach another path, whoever decodes them.
const SEGMENTS: [&str; 24] = [
    "..",
    ".",
    "%2e%2e",
    "%2E",
    "a%2fb",
    "a%2Fb",
    "..%2f..",
    "%2f",
    "a%00",
    "%00",
    "a%0a",
    "a%0d",
    "a%1b",
    "a%7f",
    "%",
    "%4",
    "%zz",
    "%ff",
    "%c0%af",
    "%e2%80",
    "%ed%a0%80",
    "a%c2%85",
    "",
    "%u0041",
];

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_pretend_to_be_others() {
    let server = TestServer::start().await;
    server.create("a").await;
    let before = server.head();
    let mut count = 0;
    for segment in SEGMENTS {
        for path in [
            format!("{V1}/namespaces/default/playlists/{segment}/x"),
            format!("{V1}/namespaces/{segment}/playlists/a"),
            format!("{V1}/{segment}/x"),
            format!("/apis/{segment}/v0alpha1/playlists"),
            format!("/{segment}/apis"),
            format!("{V1}/namespaces/default/playlists/a/{segment}/x"),
            format!("/openapi/v3/apis/{segment}/v1"),
            format!("/livez/{segment}/x"),
        ] {
            for method in [
                Method::GET,
                Method::DELETE,
                Method::PUT,
                Method::PATCH,
                Method::POST,
            ] {
                let reply = server.call(method, &path).send().await;
                reply.refused(400, "BadRequest");
                count += 1;
            }
        }
    }
    assert!(count >= 900, "{count}");
    assert_eq!(server.head(), before);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_no_object_may_have() {
    let server = TestServer::start().await;
    let before = server.head();
    let long = "x".repeat(254);
    for name in [
        "",
        " ",
        "a b",
        "a/b",
        "..",
        ".",
        "a%",
        "a\u{0}",
        "a\n",
        "\u{202e}",
        "ü",
        "😀",
        "a:b",
        "a;b",
        "a'b",
        "a\"b",
        "a\\b",
        "<b>",
        "$(id)",
        "a,b",
        "a=b",
        "a?b",
        "a#b",
        "a&b",
        long.as_str(),
    ] {
        let reply = server
            .call(Method::POST, PLAYLISTS)
            .json(&playlist(name))
            .send()
            .await;
        reply.refused(422, "Invalid");
    }
    for namespace in ["a%20b", "A", "-a", "a_b", "%C3%BC", &long] {
        let path = PLAYLISTS.replace("default", namespace);
        let mut object = playlist("a");
        object["metadata"]["namespace"] = percent_decoded(namespace).into();
        let reply = server.call(Method::POST, &path).json(&object).send().await;
        assert!(
            matches!(reply.code, 400 | 422),
            "{namespace}: {}",
            reply.text()
        );
    }
    assert_eq!(server.head(), before);
    server.stop().await;
}

fn percent_decoded(text: &str) -> String {
    text.replace("%20", " ").replace("%C3%BC", "ü")
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_objects() {
    let server = TestServer::start().await;
    let before = server.head();
    let metadata = |metadata: &str| {
        format!(
            "{{\"apiVersion\":\"playlist.grafana.app/v0alpha1\",\"kind\":\"Playlist\",\
             \"metadata\":{metadata},\"spec\":{{\"title\":\"a\",\"interval\":\"5m\"}}}}"
        )
    };
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b" ".to_vec(),
        b"null".to_vec(),
        b"true".to_vec(),
        b"[]".to_vec(),
        b"\"text\"".to_vec(),
        b"{".to_vec(),
        b"{}".to_vec(),
        b"{\"a\":1,}".to_vec(),
        b"{'a':1}".to_vec(),
        b"{} {}".to_vec(),
        b"\xff\xfe{}".to_vec(),
        b"{\"kind\":\"\xff\"}".to_vec(),
        b"{\"kind\":\"Playlist\"}".to_vec(),
        metadata("null").into_bytes(),
        metadata("[]").into_bytes(),
        metadata("\"a\"").into_bytes(),
        metadata("{\"name\":1}").into_bytes(),
        metadata("{\"name\":null}").into_bytes(),
        metadata("{\"name\":[\"a\"]}").into_bytes(),
        metadata("{\"name\":\"a\",\"labels\":[]}").into_bytes(),
        metadata("{\"name\":\"a\",\"labels\":{\"a\":1}}").into_bytes(),
        metadata("{\"name\":\"a\",\"labels\":{\"a b\":\"c\"}}").into_bytes(),
        metadata("{\"name\":\"a\",\"labels\":{\"a\":\"b c\"}}").into_bytes(),
        metadata("{\"name\":\"a\",\"annotations\":{\"a\":{}}}").into_bytes(),
        metadata("{\"name\":\"a\",\"finalizers\":{}}").into_bytes(),
        metadata("{\"name\":\"a\",\"ownerReferences\":[{}]}").into_bytes(),
        metadata("{\"name\":\"a\",\"namespace\":\"other\"}").into_bytes(),
        metadata("{\"name\":\"a\",\"resourceVersion\":\"5\"}").into_bytes(),
        metadata("{\"name\":\"\\ud800\"}").into_bytes(),
    ];
    for body in bodies {
        let text = String::from_utf8_lossy(&body).into_owned();
        let reply = server.call(Method::POST, PLAYLISTS).body(body).send().await;
        assert!(
            matches!(reply.code, 400 | 422),
            "{text}: {} {}",
            reply.code,
            reply.text()
        );
        assert_eq!(reply.json()["kind"], "Status");
    }
    let mut other = playlist("a");
    other["kind"] = "Folder".into();
    server
        .call(Method::POST, PLAYLISTS)
        .json(&other)
        .send()
        .await
        .refused(422, "Invalid");
    other = playlist("a");
    other["apiVersion"] = "playlist.grafana.app/v9".into();
    server
        .call(Method::POST, PLAYLISTS)
        .json(&other)
        .send()
        .await
        .refused(400, "BadRequest");
    assert_eq!(server.head(), before);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_go_out_at_once() {
    let server = TestServer::start().await;
    server.create("a").await;
    let before = server.head();
    let deep = |open: &str, close: &str, depth: usize| {
        format!(
            "{{\"apiVersion\":\"playlist.grafana.app/v0alpha1\",\"kind\":\"Playlist\",\
             \"metadata\":{{\"name\":\"b\"}},\"spec\":{}1{}}}",
            open.repeat(depth),
            close.repeat(depth)
        )
    };
    // Deep ones are refused on the way down; wide ones have to be read.
    let (at_once, soon) = (Duration::from_secs(1), Duration::from_secs(20));
    let bombs = [
        (deep("[", "]", 400_000), at_once),
        (deep("{\"a\":", "}", 200_000), at_once),
        (deep("[{\"a\":", "}]", 100_000), at_once),
        ("[".repeat(3 << 20), at_once),
        ("{\"a\":".repeat(600_000), at_once),
        (format!("{{\"spec\":{}}}", "1".repeat(3_000_000)), soon),
        (format!("{{\"a\":1e{}}}", "9".repeat(100_000)), at_once),
        (format!("[{}1]", "1,".repeat(1_500_000)), soon),
        (format!("[{{{}\"z\":1}}]", "\"a\":1,".repeat(500_000)), soon),
    ];
    let types = [
        (Method::POST, PLAYLISTS.to_owned(), "application/json"),
        (Method::PUT, format!("{PLAYLISTS}/a"), "application/json"),
        (
            Method::PATCH,
            format!("{PLAYLISTS}/a"),
            "application/merge-patch+json",
        ),
        (Method::DELETE, format!("{PLAYLISTS}/a"), "application/json"),
    ];
    for (bomb, time) in bombs {
        for (method, path, media_type) in &types {
            let head = &bomb[..20];
            let mut took = Duration::MAX;
            // The best of three: the machine may be busy with something else.
            for _ in 0..3 {
                let call = server
                    .call(method.clone(), path)
                    .header("content-type", media_type);
                let start = Instant::now();
                let reply = call.body(bomb.clone()).send().await;
                took = took.min(start.elapsed());
                assert!(
                    matches!(reply.code, 400 | 413 | 422),
                    "{method} {head}: {}",
                    reply.code
                );
                if took < time {
                    break;
                }
            }
            assert!(took < time, "{method} {head}: {took:?}");
        }
    }
    assert_eq!(server.head(), before);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_without_end() {
    let server = TestServer::start().await;
    let head = format!("POST {PLAYLISTS} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n");
    let bytes = 8 << 20;
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for request in [
        format!("{head}content-length: {bytes}\r\n\r\n{}", " ".repeat(bytes)),
        format!(
            "{head}transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n",
            chunk.repeat(128)
        ),
    ] {
        // All of it is taken, so that the client comes to read the answer.
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(
            answer.contains("\"message\":\"Request entity too large: limit is 3145728\""),
            "{answer}"
        );
    }
    server.create("a").await;
    let patch = format!(
        "[{}]",
        vec!["{\"op\":\"test\",\"path\":\"/kind\",\"value\":\"Playlist\"}"; 10_001].join(",")
    );
    let call = server.call(Method::PATCH, &format!("{PLAYLISTS}/a"));
    let reply = call
        .header("content-type", "application/json-patch+json")
        .body(patch)
        .send()
        .await;
    reply.refused(413, "RequestEntityTooLarge");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn selectors_that_are_none() {
    let server = TestServer::start().await;
    let deep = format!("a%20in%20({})", "b,".repeat(20_000));
    for selector in [
        "%3D",
        "%3D%3D",
        "a%20in%20b",
        "a%20in",
        "a%3Db%3Dc",
        "%21",
        "a%26b",
        "%28%29",
        "a%20b",
        "-a",
        "a%2Fb%2Fc",
        "a%3D%20b%20c",
        "a%3E%3E5",
        "a%3Ex",
        "%00",
        "%FF",
        &deep,
    ] {
        for verb in [Method::GET, Method::DELETE] {
            let path = format!("{PLAYLISTS}?labelSelector={selector}");
            let reply = server.call(verb, &path).send().await;
            let code = if selector == deep { 414 } else { 400 };
            assert_eq!(reply.code, code, "{}", &path[..path.len().min(200)]);
        }
    }
    for selector in [
        "a",
        "%3Db",
        "metadata.name",
        "metadata.name%3E5",
        "spec%3Da",
        "%00%3Da",
    ] {
        let reply = server
            .get(&format!("{PLAYLISTS}?fieldSelector={selector}"))
            .await;
        reply.refused(400, "BadRequest");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_were_changed() {
    let server = TestServer::start().await;
    for name in ["a", "b", "c"] {
        server.create(name).await;
    }
    let first = server
        .get(&format!("{PLAYLISTS}?limit=1"))
        .await
        .expect(StatusCode::OK);
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    let other = PLAYLISTS.replace("default", "other");
    let reply = server
        .get(&format!("{other}?limit=1&continue={token}"))
        .await;
    reply.refused(400, "BadRequest");
    let folders = "/apis/folder.grafana.app/v1beta1/namespaces/default/folders";
    let reply = server
        .get(&format!("{folders}?limit=1&continue={token}"))
        .await;
    reply.refused(400, "BadRequest");
    for index in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        let path = format!("{PLAYLISTS}?limit=1&continue={changed}");
        let message = server.get(&path).await.refused(400, "BadRequest");
        assert!(message.starts_with("invalid continue token"), "{message}");
    }
    for changed in [&token[1..], &token[..token.len() - 1], "e30", "..", "%22"] {
        let path = format!("{PLAYLISTS}?limit=1&continue={changed}");
        server.get(&path).await.refused(400, "BadRequest");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_tokens_never_come_in() {
    let server = TestServer::guarded().await;
    let before = server.head();
    let body = playlist("a");
    for index in 0..100 {
        let value = match index % 5 {
            0 => format!("Bearer t0ken{index}"),
            1 => format!("Bearer {}", "t".repeat(index * 50)),
            2 => format!("Basic {index}"),
            3 => "Bearer eyJhbGciOiJub25lIn0.e30.".to_owned(),
            _ => format!("bearer\tt0ken{index}"),
        };
        for (method, path) in [
            (Method::GET, PLAYLISTS),
            (Method::POST, PLAYLISTS),
            (Method::GET, "/livez"),
            (Method::GET, "/openapi/v2"),
        ] {
            let call = server.call(method, path).header("authorization", &value);
            call.json(&body).send().await.refused(401, "Unauthorized");
        }
    }
    // A second header, and a token in the query, are nobody's.
    let twice = server
        .call(Method::GET, PLAYLISTS)
        .header("authorization", "Bearer x");
    let twice = twice.header("authorization", "Bearer t0ken").send().await;
    twice.refused(401, "Unauthorized");
    server
        .get(&format!("{PLAYLISTS}?access_token=t0ken"))
        .await
        .refused(401, "Unauthorized");
    assert_eq!(server.head(), before);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_queries_are_understood() {
    let server = TestServer::start().await;
    server.create("a").await;
    for query in [
        "",
        "&",
        "&&limit=5&",
        "limit=5&limit=6",
        "pretty",
        "unknown=1",
        "limit=",
    ] {
        let list = server
            .get(&format!("{PLAYLISTS}?{query}"))
            .await
            .expect(StatusCode::OK);
        assert_eq!(list["items"].as_array().unwrap().len(), 1, "{query}");
    }
    let many = "a=1&".repeat(1_000);
    server
        .get(&format!("{PLAYLISTS}?{many}"))
        .await
        .refused(400, "BadRequest");
    let long = "a".repeat(40_000);
    assert_eq!(server.get(&format!("{PLAYLISTS}?x={long}")).await.code, 414);
    let reply = server.call(
        Method::POST,
        &format!("{PLAYLISTS}?fieldManager={}", "x".repeat(200)),
    );
    let reply = reply.json(&json!({})).send().await;
    assert!(matches!(reply.code, 400 | 422), "{}", reply.text());
    server.stop().await;
}
