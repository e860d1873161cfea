use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use resource::Objects;
use storage_core::{Clock, SystemClock};

use crate::authorization::{AllowAuthenticated, Authorizer};
use crate::health::HealthCheck;
use crate::{Authentication, TlsIdentity, VersionInfo, limits};

/// Renders what `/metrics` answers.
pub type MetricsRenderer = Arc<dyn Fn() -> String + Send + Sync>;

/// Everything a server needs besides the objects.
pub struct ServerConfig {
    /// The address to listen on; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The server's certificate; plain HTTP without one.
    pub tls: Option<TlsIdentity>,
    /// Groups whose objects are not in the store, by name. Their kinds are among those of the store.
    pub elsewhere: BTreeMap<String, Objects>,
    /// Who may come in.
    pub authentication: Authentication,
    /// Who may do what.
    pub authorizer: Arc<dyn Authorizer>,
    /// How much at once.
    pub limits: Limits,
    /// How long at most.
    pub timeouts: Timeouts,
    /// What `/metrics` answers; it is not found without one.
    pub metrics: Option<MetricsRenderer>,
    /// The named parts of `/readyz` and `/livez`.
    pub checks: Vec<Arc<dyn HealthCheck>>,
    /// Tells the time, for ages in tables.
    pub clock: Arc<dyn Clock>,
    /// What `/version` answers.
    pub version: VersionInfo,
}

impl ServerConfig {
    /// Plain HTTP on `listen`, nobody but health probes let in, defaults for the rest.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            tls: None,
            elsewhere: BTreeMap::new(),
            authentication: Authentication::default(),
            authorizer: Arc::new(AllowAuthenticated),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            metrics: None,
            checks: Vec::new(),
            clock: Arc::new(SystemClock),
            version: VersionInfo::default(),
        }
    }
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("listen", &self.listen)
            .field("tls", &self.tls.is_some())
            .field("limits", &self.limits)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// How much the server takes on at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections; one more is closed at once.
    pub connections: usize,
    /// Reads that are answered at the same time; more get 429.
    pub reads_in_flight: usize,
    /// Writes that are answered at the same time; more get 429.
    pub writes_in_flight: usize,
    /// Watches of the whole server; more get 429.
    pub watches: usize,
    /// Watches of one user; more get 429.
    pub watches_per_user: usize,
    /// Bytes of a request body; more get 413.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: limits::CONNECTIONS_MAX,
            reads_in_flight: limits::READS_IN_FLIGHT_MAX,
            writes_in_flight: limits::WRITES_IN_FLIGHT_MAX,
            watches: limits::WATCHES_MAX,
            watches_per_user: limits::WATCHES_PER_USER_MAX,
            body_bytes: limits::BODY_BYTES_MAX,
        }
    }
}

/// How long the server waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For the head of a request, from its first byte or the end of the request before it.
    pub headers: Duration,
    /// For the body of a request.
    pub body: Duration,
    /// For the next request on an open connection.
    pub idle: Duration,
    /// For the answer to a request that is not a watch; then it gets 504.
    pub request: Duration,
    /// For requests in flight at shutdown; then they are cut off.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(32),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(120),
            request: Duration::from_secs(60),
            drain: Duration::from_secs(20),
        }
    }
}
