//! A wire between a store and its server that can be watched and cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use url::Url;

/// Where a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server gets what holds the mark; its answer is lost.
    BeforeTheAnswer,
    /// The server never gets what holds the mark.
    BeforeTheServer,
}

/// What to wait for, and what to do then.
#[derive(Clone, Debug)]
struct Trap {
    marks: Vec<Vec<u8>>,
    cut: Cut,
    /// No connection is possible any more after the cut.
    stays_down: bool,
}

#[derive(Debug, Default)]
struct Wire {
    trap: Mutex<Option<Trap>>,
    is_down: watch::Sender<bool>,
    sent: AtomicU64,
    connections: AtomicU64,
    cuts: AtomicU64,
}

/// The wire. It is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    wire: Arc<Wire>,
    accepting: AbortHandle,
}

impl Proxy {
    /// Starts a wire to the server of a URL; returns it and the URL through it.
    pub(crate) async fn start(url: &str) -> (Self, String) {
        let mut url = Url::parse(url).unwrap();
        let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        url.set_port(Some(address.port())).unwrap();
        let wire = Arc::new(Wire::default());
        let accepting = tokio::spawn(accept(listener, server, Arc::clone(&wire)));
        let proxy = Self {
            wire,
            accepting: accepting.abort_handle(),
        };
        (proxy, url.into())
    }

    /// Cuts the connection on which the marks are sent, one after the other.
    pub(crate) fn cut_at(&self, marks: &[&str], cut: Cut) {
        self.set(marks, cut, false);
    }

    /// As [`cut_at`](Self::cut_at), and lets no connection through any more.
    pub(crate) fn cut_for_good_at(&self, marks: &[&str], cut: Cut) {
        self.set(marks, cut, true);
    }

    fn set(&self, marks: &[&str], cut: Cut, stays_down: bool) {
        let marks = marks.iter().map(|mark| mark.as_bytes().to_vec()).collect();
        *self.wire.trap.lock() = Some(Trap {
            marks,
            cut,
            stays_down,
        });
    }

    /// Lets connections through again.
    pub(crate) fn mend(&self) {
        self.wire.is_down.send_replace(false);
    }

    /// Returns how often a connection was cut.
    pub(crate) fn cuts(&self) -> u64 {
        self.wire.cuts.load(Ordering::SeqCst)
    }

    /// Returns how many connections there were.
    pub(crate) fn connections(&self) -> u64 {
        self.wire.connections.load(Ordering::SeqCst)
    }

    /// Returns how many pieces were sent to the server: about one per exchange.
    pub(crate) fn sent(&self) -> u64 {
        self.wire.sent.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: String, wire: Arc<Wire>) {
    // Dropped with this task, and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        wire.connections.fetch_add(1, Ordering::SeqCst);
        if *wire.is_down.borrow() {
            continue;
        }
        let server = TcpStream::connect(&server).await.unwrap();
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        connections.spawn(carry(client, server, Arc::clone(&wire)));
    }
}

async fn carry(client: TcpStream, server: TcpStream, wire: Arc<Wire>) {
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let (cut, is_cut) = oneshot::channel();
    let mut is_down = wire.is_down.subscribe();
    tokio::select! {
        () = forward(client_read, server_write, &wire, cut) => {}
        () = backward(server_read, client_write, is_cut) => {}
        _ = is_down.wait_for(|is_down| *is_down) => {}
    }
}

/// Carries what goes to the server. Ends where the connection is to be cut.
async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    wire: &Wire,
    cut: oneshot::Sender<()>,
) {
    let mut buffer = vec![0; 1 << 16];
    let mut marks_seen = 0;
    loop {
        let length = from.read(&mut buffer).await.unwrap_or(0);
        let piece = &buffer[..length];
        if length == 0 {
            return;
        }
        wire.sent.fetch_add(1, Ordering::SeqCst);
        if let Some(trap) = spring(wire, piece, &mut marks_seen) {
            if trap.cut == Cut::BeforeTheServer {
                return;
            }
            // First the answers stop, then the server gets it.
            let _ = cut.send(());
            let _ = to.write_all(piece).await;
            if trap.stays_down {
                wire.is_down.send_replace(true);
            }
            // The connection stays until the server has answered.
            return std::future::pending().await;
        }
        if to.write_all(piece).await.is_err() {
            return;
        }
    }
}

/// Looks for the next mark of the trap; takes the trap when it was the last one.
fn spring(wire: &Wire, piece: &[u8], marks_seen: &mut usize) -> Option<Trap> {
    let mut trap = wire.trap.lock();
    let marks = &trap.as_ref()?.marks;
    while let Some(mark) = marks.get(*marks_seen) {
        if !piece.windows(mark.len()).any(|window| window == mark) {
            break;
        }
        *marks_seen += 1;
    }
    if *marks_seen < marks.len() {
        return None;
    }
    wire.cuts.fetch_add(1, Ordering::SeqCst);
    trap.take()
}

/// Carries what comes from the server. After the cut it waits for the answer and loses it.
async fn backward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut is_cut: oneshot::Receiver<()>,
) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = from.read(&mut buffer).await.unwrap_or(0);
        if length == 0 || is_cut.try_recv().is_ok() {
            return;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
