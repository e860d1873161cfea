use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::activity::Activity;
use crate::api::Api;
use crate::limits::{
    CONNECTION_WINDOW_BYTES, HEAD_BYTES_MAX, HEADER_LIST_BYTES_MAX, HEADERS_MAX, LOCAL_RESETS_MAX,
    PENDING_RESETS_MAX, PING_INTERVAL, PING_TIMEOUT, STREAM_SEND_BUFFER_BYTES, STREAM_WINDOW_BYTES,
    STREAMS_PER_CONNECTION_MAX, WRITE_STALL_MAX,
};
use crate::stall::StallGuard;

/// Time that a connection gets to say goodbye.
const GOODBYE_TIME: Duration = Duration::from_secs(2);

/// What all connections of a server share.
#[derive(Clone)]
pub(crate) struct Connections {
    pub(crate) api: Arc<Api>,
    pub(crate) tls: Option<TlsAcceptor>,
    /// Owns the tasks of connections and of their HTTP/2 streams.
    pub(crate) tasks: TaskTracker,
    /// No further requests: answer what is there, then close.
    pub(crate) close: CancellationToken,
    /// Close at once.
    pub(crate) cut: CancellationToken,
}

impl Connections {
    /// Serves one connection until it ends, by whichever side.
    pub(crate) async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        prepare(&stream);
        let Some(tls) = self.tls.clone() else {
            return self.serve_http(stream, peer, Protocol::Either).await;
        };
        let handshake = tokio::time::timeout(self.api.timeouts.handshake, tls.accept(stream));
        let accepted = tokio::select! {
            accepted = handshake => accepted,
            () = self.close.cancelled() => return,
        };
        match accepted {
            Ok(Ok(stream)) => {
                let protocol = match stream.get_ref().1.alpn_protocol() {
                    Some(b"h2") => Protocol::Http2,
                    _ => Protocol::Http1,
                };
                self.serve_http(stream, peer, protocol).await;
            }
            Ok(Err(error)) => {
                metrics::counter!("apiserver_tls_handshake_errors_total").increment(1);
                tracing::debug!(%peer, %error, "tls handshake failed");
            }
            Err(_) => {
                metrics::counter!("apiserver_tls_handshake_errors_total").increment(1);
                tracing::debug!(%peer, "tls handshake took too long");
            }
        }
    }

    async fn serve_http<IO>(self, io: IO, peer: SocketAddr, protocol: Protocol)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let timeouts = &self.api.timeouts;
        let activity = Activity::new(timeouts.headers, timeouts.idle);
        let service = service_fn({
            let api = Arc::clone(&self.api);
            let activity = activity.clone();
            move |request: Request<Incoming>| {
                let answering = Arc::clone(&api).answer(request, activity.begin());
                async move { Ok::<_, Infallible>(answering.await) }
            }
        });
        let builder = self.builder(protocol);
        let io = TokioIo::new(StallGuard::new(io, WRITE_STALL_MAX));
        let mut connection = std::pin::pin!(builder.serve_connection(io, service));
        let mut goodbye: Option<Instant> = None;
        loop {
            let deadline = goodbye.unwrap_or_else(|| activity.deadline());
            tokio::select! {
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(%peer, error = %error, "connection ended early");
                    }
                    return;
                }
                () = self.cut.cancelled() => return,
                () = self.close.cancelled(), if goodbye.is_none() => {
                    connection.as_mut().graceful_shutdown();
                    // Requests in flight are waited for by the server, which then cuts.
                    goodbye = Some(Instant::now() + timeouts.drain + GOODBYE_TIME);
                }
                () = tokio::time::sleep_until(deadline) => {
                    if goodbye.is_some() {
                        return;
                    }
                    if activity.deadline() <= Instant::now() {
                        tracing::debug!(%peer, "connection was idle for too long");
                        connection.as_mut().graceful_shutdown();
                        goodbye = Some(Instant::now() + GOODBYE_TIME);
                    }
                }
            }
        }
    }

    fn builder(&self, protocol: Protocol) -> Builder<Tracked> {
        let mut builder = Builder::new(Tracked(self.tasks.clone()));
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.api.timeouts.headers)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(STREAM_SEND_BUFFER_BYTES)
            .max_header_list_size(HEADER_LIST_BYTES_MAX)
            .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
            .max_local_error_reset_streams(LOCAL_RESETS_MAX)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        match protocol {
            Protocol::Http1 => builder.http1_only(),
            Protocol::Http2 => builder.http2_only(),
            Protocol::Either => builder,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
    /// Told by the first bytes.
    Either,
}

/// Runs the streams of HTTP/2 connections as tasks that the server waits for.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F> Executor<F> for Tracked
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// Asks the system to notice peers that are gone, and not to wait for more bytes before sending.
fn prepare(stream: &TcpStream) {
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15));
    let result = stream
        .set_nodelay(true)
        .and_then(|()| socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive));
    if let Err(error) = result {
        tracing::debug!(%error, "socket options were refused");
    }
}
