use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use resource::Objects;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::Api;
use crate::connection::Connections;
use crate::limits::ACCEPT_PAUSE;
use crate::{ServerConfig, ServerError};

/// Time that cut connections get to end.
const CUT_TIME: Duration = Duration::from_secs(5);

/// A server of the Kubernetes API, bound to its address.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    connections: Connections,
    connections_max: usize,
}

impl Server {
    /// Opens the socket. Nothing is answered before [`Server::serve`].
    ///
    /// # Errors
    /// `Bind` if the address cannot be listened on; `Credential` if there is no randomness.
    pub async fn bind(config: ServerConfig, objects: Objects) -> Result<Self, ServerError> {
        let address = config.listen;
        let refuse = |source| ServerError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(refuse)?;
        let address = listener.local_addr().map_err(refuse)?;
        let connections_max = config.limits.connections;
        let tls = config
            .tls
            .as_ref()
            .map(|tls| TlsAcceptor::from(tls.config()));
        let connections = Connections {
            api: Arc::new(Api::new(config, objects)?),
            tls,
            tasks: TaskTracker::new(),
            close: CancellationToken::new(),
            cut: CancellationToken::new(),
        };
        Ok(Self {
            listener,
            address,
            connections,
            connections_max,
        })
    }

    /// Returns the address that is listened on.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is cancelled, then drains.
    ///
    /// # Behaviour
    /// * Draining: `/readyz` fails, new requests get 503 with `Retry-After`, watches end with a
    ///   last bookmark, requests in flight are answered.
    /// * What is not answered within [`Timeouts::drain`](crate::Timeouts) is cut off.
    /// * An error of one connection, or of accepting one, ends nothing else.
    /// * Returns when the last connection is closed and no task is left.
    pub async fn serve(self, shutdown: CancellationToken) {
        let accepting = self.accept();
        let draining = self.drain(shutdown);
        tokio::select! {
            () = accepting => (),
            () = draining => (),
        }
        drop(self.listener);
        self.connections.close.cancel();
        self.connections.tasks.close();
        let ended = self.connections.tasks.wait();
        if tokio::time::timeout(CUT_TIME, ended).await.is_err() {
            tracing::warn!("connections did not end when they were closed");
            self.connections.cut.cancel();
            self.connections.tasks.wait().await;
        }
    }

    /// Waits for the shutdown, then for the requests in flight. Until that is done, the server
    /// still accepts, so that clients and probes are told instead of turned away.
    async fn drain(&self, shutdown: CancellationToken) {
        shutdown.cancelled().await;
        let api = &self.connections.api;
        tracing::info!("shutting down");
        api.begin_draining();
        if tokio::time::timeout(api.timeouts.drain, api.drained())
            .await
            .is_err()
        {
            tracing::warn!("requests are cut off: they took longer than the time to drain");
            self.connections.cut.cancel();
        }
    }

    async fn accept(&self) {
        let room = Arc::new(Semaphore::new(self.connections_max));
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => self.spawn(stream, peer, &room),
                Err(error) => {
                    // Of that connection, or too many open files: neither concerns the others.
                    metrics::counter!("apiserver_accept_errors_total").increment(1);
                    tracing::debug!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn spawn(&self, stream: TcpStream, peer: SocketAddr, room: &Arc<Semaphore>) {
        let Ok(permit) = Arc::clone(room).try_acquire_owned() else {
            metrics::counter!("apiserver_connections_refused_total").increment(1);
            return;
        };
        let connections = self.connections.clone();
        self.connections.tasks.spawn(async move {
            let gauge = metrics::gauge!("apiserver_connections");
            gauge.increment(1);
            connections.serve(stream, peer).await;
            gauge.decrement(1);
            drop(permit);
        });
    }
}
