use std::sync::Arc;
use std::time::Duration;

use apiserver::TlsIdentity;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::server::TestServer;

struct Certificate {
    der: CertificateDer<'static>,
    identity: TlsIdentity,
}

fn certificate() -> Certificate {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let identity = TlsIdentity::from_pem(
        cert.pem().as_bytes(),
        signing_key.serialize_pem().as_bytes(),
    );
    Certificate {
        der: cert.der().clone(),
        identity: identity.unwrap(),
    }
}

async fn connect(
    server: &TestServer,
    certificate: &Certificate,
    alpn: &[&str],
) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap()
}

async fn start(certificate: &Certificate) -> TestServer {
    let identity = certificate.identity.clone();
    TestServer::with(|config| {
        config.tls = Some(identity);
        config.timeouts.handshake = Duration::from_millis(300);
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn both_protocols_are_offered() {
    let certificate = certificate();
    let server = start(&certificate).await;
    let request = || {
        let request = Request::get("https://localhost/version");
        request.body(Empty::<Bytes>::new()).unwrap()
    };

    let stream = connect(&server, &certificate, &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request()).await.unwrap();
    assert_eq!(response.status(), 200);
    response.collect().await.unwrap();
    drop(sender);
    connection.await.unwrap().unwrap();

    for alpn in [&["http/1.1"][..], &[]] {
        let stream = connect(&server, &certificate, alpn).await;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request()).await.unwrap();
        assert_eq!(response.status(), 200);
        response.collect().await.unwrap();
        drop(sender);
        connection.await.unwrap().unwrap();
    }
    server.stop().await;
}

/// A server of another project stopped accepting after one bad handshake.
#[tokio::test(flavor = "multi_thread")]
async fn broken_handshakes_end_nothing() {
    let certificate = certificate();
    let server = start(&certificate).await;
    let hello: [&[u8]; 6] = [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\xff\xff",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0; 600],
    ];
    for round in 0..500 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // The server may close before the last bytes are out.
        let _ = stream.write_all(hello[round % hello.len()]).await;
    }
    let stream = connect(&server, &certificate, &["h2"]).await;
    drop(stream);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_is_given_up() {
    let certificate = certificate();
    let server = start(&certificate).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut byte = [0; 1];
    assert_eq!(stream.read(&mut byte).await.unwrap(), 0);
    server.stop().await;
}

#[test]
fn bad_pem_is_explained() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let (chain, key) = (cert.pem(), signing_key.serialize_pem());
    let other = generate_simple_self_signed(vec!["b".into()])
        .unwrap()
        .signing_key;
    for (chain, key, text) in [
        ("", key.as_str(), "no PEM block of type CERTIFICATE"),
        (&chain, "", "private key"),
        (
            &chain,
            "-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----",
            "",
        ),
        (&chain, &other.serialize_pem(), ""),
    ] {
        let error = TlsIdentity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        assert!(error.to_string().starts_with("tls identity: "), "{error}");
    }
}
