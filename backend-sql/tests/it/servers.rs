//! Servers that a test starts, stops at once and starts again.
#![allow(dead_code, reason = "each test program uses its share of it")]

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use sqlx::Connection;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// How long a start may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    #[cfg(feature = "postgres")]
    Postgres,
    #[cfg(feature = "mysql")]
    Mysql,
}

/// A server of its own. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct OwnServer {
    kind: Kind,
    folder: PathBuf,
    port: u16,
    settings: Vec<&'static str>,
    process: Option<Child>,
    _temporary: Option<TempDir>,
}

impl OwnServer {
    /// Makes a server and starts it, with settings beside the usual ones.
    pub(crate) async fn start(kind: Kind, settings: &[&'static str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        kind.initialise(folder.path());
        let mut server = Self::start_in(kind, folder.path(), settings).await.unwrap();
        server._temporary = Some(folder);
        server
    }

    /// Starts a server on what [`Kind::initialise`] made in a folder.
    pub(crate) async fn start_in(
        kind: Kind,
        folder: &Path,
        settings: &[&'static str],
    ) -> Result<Self, String> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut server = Self {
            kind,
            folder: folder.into(),
            port: port.local_addr().unwrap().port(),
            settings: settings.to_vec(),
            process: None,
            _temporary: None,
        };
        drop(port);
        server.try_start().await?;
        Ok(server)
    }

    /// Starts it on its data, and returns when it takes connections.
    pub(crate) async fn start_again(&mut self) {
        self.try_start().await.unwrap();
    }

    async fn try_start(&mut self) -> Result<(), String> {
        let started = self
            .kind
            .command(&self.folder, self.port)
            .args(self.settings.iter())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process = self.process.insert(started.unwrap());
        let deadline = Instant::now() + PATIENCE;
        let url = self.kind.url(self.port);
        while !self.kind.answers(&url).await {
            if let Some(status) = process.try_wait().unwrap() {
                return Err(format!("{:?} ended: {status}", self.kind));
            }
            if Instant::now() >= deadline {
                return Err(format!("{:?} does not answer", self.kind));
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Ends it without letting it finish anything.
    pub(crate) fn stop_at_once(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        if process.try_wait().unwrap().is_none() {
            let pid = Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
            kill_process(pid, self.kind.signal()).unwrap();
            process.wait().unwrap();
        }
    }

    /// Returns the URL of a database that is there.
    pub(crate) fn url(&self) -> String {
        self.kind.url(self.port)
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.stop_at_once();
    }
}

impl Kind {
    fn url(self, port: u16) -> String {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => format!("postgres://postgres@127.0.0.1:{port}/postgres"),
            #[cfg(feature = "mysql")]
            Self::Mysql => format!("mysql://root@127.0.0.1:{port}/mysql"),
        }
    }

    /// Makes the data of a server in a folder.
    pub(crate) fn initialise(self, folder: &Path) {
        let output = match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => {
                if geteuid().is_root() {
                    // The server refuses to run as root.
                    let user = id_of("postgres");
                    std::os::unix::fs::chown(folder, Some(user), None).unwrap();
                }
                as_postgres("initdb")
                    .arg("--pgdata")
                    .arg(folder.join("data"))
                    .args(["--username=postgres", "--auth=trust", "--no-sync"])
                    .output()
            }
            #[cfg(feature = "mysql")]
            Self::Mysql => Command::new(program("mariadb-install-db"))
                .env("TMPDIR", folder)
                .arg("--no-defaults")
                .arg(format!("--datadir={}", folder.join("data").display()))
                .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
                .args(geteuid().is_root().then_some("--user=root"))
                .output(),
        };
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }

    fn command(self, folder: &Path, port: u16) -> Command {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => {
                let mut command = as_postgres("postgres");
                command
                    .arg("-D")
                    .arg(folder.join("data"))
                    .args(["-p", &port.to_string()])
                    .args(["-c", "listen_addresses=127.0.0.1"])
                    .args(["-c", "unix_socket_directories="]);
                command
            }
            #[cfg(feature = "mysql")]
            Self::Mysql => {
                let mut command = Command::new(program("mariadbd"));
                // A server that starts deletes the temporary tables of others in a shared folder.
                command
                    .env("TMPDIR", folder)
                    .arg("--no-defaults")
                    .arg(format!("--datadir={}", folder.join("data").display()))
                    .arg(format!("--socket={}", folder.join("sock").display()))
                    .arg(format!("--pid-file={}", folder.join("pid").display()))
                    .arg(format!("--port={port}"))
                    .args(["--bind-address=127.0.0.1", "--skip-name-resolve"])
                    .args(geteuid().is_root().then_some("--user=root"));
                command
            }
        }
    }

    /// The signal that ends it at once. A PostgreSQL that is killed leaves its children behind,
    /// which keep it from starting for a while; SIGQUIT is its immediate shutdown.
    const fn signal(self) -> Signal {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => Signal::QUIT,
            #[cfg(feature = "mysql")]
            Self::Mysql => Signal::KILL,
        }
    }

    async fn answers(self, url: &str) -> bool {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => sqlx::PgConnection::connect(url).await.is_ok(),
            #[cfg(feature = "mysql")]
            Self::Mysql => sqlx::MySqlConnection::connect(url).await.is_ok(),
        }
    }
}

/// Runs a program of PostgreSQL, as its own user if this process is root.
#[cfg(feature = "postgres")]
fn as_postgres(name: &str) -> Command {
    let path = program(name);
    if !geteuid().is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(path);
    command
}

#[cfg(feature = "postgres")]
fn id_of(user: &str) -> u32 {
    let output = Command::new("id").args(["-u", user]).output().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

/// Finds a program: Debian keeps the servers' outside of the path. A test without its server
/// fails, it is not skipped.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .map(|version| version.unwrap().path().join("bin"))
        .collect();
    folders.sort();
    folders.reverse();
    folders.push("/usr/sbin".into());
    folders.extend(std::env::split_paths(&path));
    let found = folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: install postgresql and mariadb-server"))
}
