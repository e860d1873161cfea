use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use kube::api::{ApiResource, DynamicObject};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::support::client::playlists;
use crate::support::server::Server;

/// How long a client waits before it asks again, after a server said that it cannot answer now.
pub(crate) const BACKOFF: Duration = Duration::from_millis(50);

/// A serving process that is killed and started again at the same address.
pub(crate) struct Process {
    store: String,
    arguments: Vec<String>,
    folder: Folder,
    server: Mutex<Option<Server>>,
    up: watch::Sender<bool>,
}

impl Process {
    /// Starts it on a store, with more arguments.
    pub(crate) fn start(store: &str, arguments: &[&str]) -> Self {
        let mut process = Self {
            store: store.to_owned(),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            folder: Folder::new(),
            server: Mutex::new(None),
            up: watch::Sender::new(false),
        };
        process.start_again();
        let server = process.server.get_mut().unwrap();
        let url = server.as_ref().unwrap().url.clone();
        let address = url.strip_prefix("https://").unwrap().to_owned();
        process.arguments.extend(["--listen".to_owned(), address]);
        process
    }

    /// Starts it again and returns once it is ready.
    pub(crate) fn start_again(&self) {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let server = Server::start_with(&self.store, &self.folder.data(), &arguments);
        *self.server.lock().unwrap() = Some(server);
        self.up.send_replace(true);
    }

    /// Kills it without a warning.
    pub(crate) fn kill(&self) {
        self.up.send_replace(false);
        drop(self.server.lock().unwrap().take());
    }

    /// Stops it the friendly way; it must end well.
    pub(crate) fn stop(&self) {
        self.up.send_replace(false);
        if let Some(server) = self.server.lock().unwrap().take() {
            server.stop();
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    /// Waits until it serves.
    pub(crate) async fn up(&self) {
        let mut up = self.up.subscribe();
        up.wait_for(|up| *up).await.unwrap();
    }

    /// Returns the number of the process that serves.
    pub(crate) fn pid(&self) -> u32 {
        let server = self.server.lock().unwrap();
        server.as_ref().unwrap().pid()
    }

    /// Returns a client of its own connections, which outlives restarts.
    pub(crate) async fn playlists(&self) -> Api<DynamicObject> {
        playlists(self.client().await)
    }

    /// The same for objects outside of namespaces.
    pub(crate) async fn resources(&self, resource: &ApiResource) -> Api<DynamicObject> {
        Api::all_with(self.client().await, resource)
    }

    async fn client(&self) -> Client {
        let kubeconfig = self.folder.data().join("unistore.kubeconfig");
        let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let mut config = config.unwrap();
        // A write that is repeated behind our back is told wrong: what the first attempt did is
        // taken for somebody else's.
        config.default_retry = false;
        Client::try_from(config).unwrap()
    }
}

/// The files of a process. They stay when the test fails, logs included.
#[derive(Debug)]
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let all = env!("CARGO_TARGET_TMPDIR");
        Self(TempDir::with_prefix_in("process-", all).unwrap())
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.disable_cleanup(true);
            eprintln!("the files of a process are in {}", self.0.path().display());
        }
    }
}
