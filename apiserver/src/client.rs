use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// A client for programs that order something of a server, with a connection for each request.
pub struct Client {
    authority: String,
    host: String,
    token: String,
    tls: TlsConnector,
}

/// An answer of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub code: u16,
    /// The body.
    pub body: Bytes,
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
#[error("{context}")]
pub struct ClientError {
    context: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Client {
    /// Takes what a kubeconfig says: the server as `https://HOST:PORT`, the certificates to trust
    /// in PEM form, and a bearer token.
    ///
    /// # Errors
    /// If the address is not of that form or no certificate can be read.
    pub fn new(server: &str, trusted: &[u8], token: &str) -> Result<Self, ClientError> {
        let uri: Uri = server.parse().map_err(because("the server's address"))?;
        let (Some("https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(refused(format!("{server:?} is not https://HOST:PORT")));
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(trusted) {
            let certificate = certificate.map_err(because("the certificates to trust"))?;
            let added = roots.add(certificate);
            added.map_err(because("the certificates to trust"))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(because("TLS"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            authority: authority.to_string(),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            token: token.to_owned(),
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Reads what is at a path.
    ///
    /// # Errors
    /// If there is no answer. An answer that refuses is an answer.
    pub async fn get(&self, path: &str) -> Result<Response, ClientError> {
        self.send(Method::GET, path, "", Bytes::new()).await
    }

    /// Changes what is at a path by a merge patch.
    ///
    /// # Errors
    /// If there is no answer: then the change may have been made.
    pub async fn merge_patch(
        &self,
        path: &str,
        patch: impl Into<Bytes>,
    ) -> Result<Response, ClientError> {
        let media_type = "application/merge-patch+json";
        let patch = patch.into();
        self.send(Method::PATCH, path, media_type, patch).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        media_type: &str,
        body: Bytes,
    ) -> Result<Response, ClientError> {
        let stream = TcpStream::connect(&self.authority).await;
        let stream = stream.map_err(because(&format!("cannot reach {}", self.authority)))?;
        let name = ServerName::try_from(self.host.clone()).map_err(because("the server's name"))?;
        let stream = self.tls.connect(name, stream).await;
        let stream = stream.map_err(because("the server is not the one to trust"))?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(because("the connection"))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.authority)
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, media_type)
            .body(Full::new(body))
            .map_err(because("the request"))?;
        let answering = async {
            let response = sender.send_request(request).await;
            let response = response.map_err(because("the request got no answer"))?;
            let code = response.status().as_u16();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
            let body = body.await.map_err(|source| ClientError {
                context: "the answer broke off".to_owned(),
                source: Some(source),
            })?;
            let body = body.to_bytes();
            Ok(Response { code, body })
        };
        let mut answering = std::pin::pin!(answering);
        tokio::select! {
            answer = &mut answering => answer,
            // It moves the bytes, and ends when the request is answered or the server leaves.
            _ = connection => answering.await,
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.authority)
    }
}

fn because<E>(context: &str) -> impl FnOnce(E) -> ClientError
where
    E: std::error::Error + Send + Sync + 'static,
{
    let context = context.to_owned();
    |source| ClientError {
        context,
        source: Some(Box::new(source)),
    }
}

fn refused(context: String) -> ClientError {
    ClientError {
        context,
        source: None,
    }
}
