use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use apiserver::{
    Anonymous, Authentication, Server, ServerConfig, TokenCredential, TokenHash, User,
};
use hyper::Method;
use resource::{Kinds, Objects, ObjectsOptions, SeededRandom, TokenKey};
use serde_json::{Value, json};
use storage_core::{Clock, ManualClock, Memory, Revision, StorageBackend, Timestamp};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::{Call, Reply};

/// Where the objects of most tests live.
pub(crate) const PLAYLISTS: &str =
    "/apis/playlist.grafana.app/v0alpha1/namespaces/default/playlists";
/// What `kubectl get` accepts.
pub(crate) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,\
    application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
/// The time of every test.
const NOW: Timestamp = Timestamp::from_millis(1_750_000_000_000);

/// A server on a free port, and the store behind it.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<Memory>,
    pub(crate) kinds: Arc<Kinds>,
    pub(crate) shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl TestServer {
    /// Lets everyone do everything.
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// The same, changed by `change`.
    pub(crate) async fn with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let clock = Arc::new(ManualClock::new(NOW));
        let store = Arc::new(Memory::with_clock(Arc::clone(&clock) as Arc<dyn Clock>));
        let mut config = ServerConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)));
        config.authentication.anonymous = Anonymous::Everything;
        config.clock = Arc::clone(&clock) as Arc<dyn Clock>;
        change(&mut config);
        let random = SeededRandom::new(1);
        let mut options = ObjectsOptions::new(TokenKey::random(&random).unwrap());
        options.clock = Arc::clone(&clock) as Arc<dyn Clock>;
        options.random = Arc::new(random);
        options.future_revision_wait = Duration::from_millis(20);
        let backend = Arc::clone(&store) as Arc<dyn StorageBackend>;
        let kinds = Arc::new(Kinds::built_in());
        let objects = Objects::new(backend, Arc::clone(&kinds), options);
        let server = Server::bind(config, objects).await.unwrap();
        let address = server.local_addr();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(server.serve(shutdown.clone()));
        Self {
            address,
            clock,
            store,
            kinds,
            shutdown,
            task,
        }
    }

    /// Lets in one bearer token, `t0ken`, of an administrator.
    pub(crate) async fn guarded() -> Self {
        Self::with(|config| config.authentication = one_token()).await
    }

    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        Call::new(self.address, method, path)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path).send().await
    }

    /// Creates a playlist and returns it.
    pub(crate) async fn create(&self, name: &str) -> Value {
        let reply = self
            .call(Method::POST, PLAYLISTS)
            .json(&playlist(name))
            .send()
            .await;
        assert_eq!(reply.code, 201, "{}", reply.text());
        reply.json()
    }

    /// Creates a playlist in another namespace.
    pub(crate) async fn create_in(&self, namespace: &str, name: &str) {
        let path = PLAYLISTS.replace("default", namespace);
        let reply = self
            .call(Method::POST, &path)
            .json(&playlist(name))
            .send()
            .await;
        assert_eq!(reply.code, 201, "{}", reply.text());
    }

    /// Returns the newest revision of the store.
    pub(crate) fn head(&self) -> Revision {
        *self.store.head().borrow()
    }

    /// Ends the server and waits for it.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }

    /// Waits for a server that was told to end.
    pub(crate) async fn ended(self) {
        self.task.await.unwrap();
    }
}

pub(crate) fn one_token() -> Authentication {
    Authentication {
        tokens: vec![TokenCredential {
            user: User::admin(),
            token: TokenHash::of("t0ken"),
        }],
        ..Authentication::default()
    }
}

pub(crate) fn playlist(name: &str) -> Value {
    json!({
        "apiVersion": "playlist.grafana.app/v0alpha1",
        "kind": "Playlist",
        "metadata": {"name": name, "labels": {"app": "a"}},
        "spec": {
            "title": format!("The {name}"),
            "interval": "5m",
            "items": [{"type": "dashboard_by_tag", "value": "myTag"}],
        },
    })
}
