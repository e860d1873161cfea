use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::{CONNECTIONS_MAX, MYSQL_VARIABLE, free_port, password, run_quietly};
use crate::command::Runner;
use crate::packages;

/// The user that tests log in as.
const USER: &str = "unistore";

/// How long a start or a stop may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a state that cannot be awaited is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A private MariaDB server. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    socket: PathBuf,
    port: u16,
    password: String,
}

impl Server {
    pub(crate) fn start(runner: &mut Runner, folder: &Path) -> Result<Self> {
        let programs = Programs::find_or_install(runner)?;
        let home = folder.join("mariadb");
        fs::create_dir(&home)?;
        programs.initialise(&home)?;
        let (port, password) = (free_port()?, password()?);
        fs::write(home.join("init.sql"), init_sql(&password))?;
        let socket = socket(folder);
        let child = programs.spawn(&home, &socket, port)?;
        let mut server = Self {
            child,
            socket,
            port,
            password,
        };
        server.wait_until_ready().with_context(|| {
            let log = fs::read_to_string(home.join("log")).unwrap_or_default();
            format!("cannot start MariaDB\n{log}")
        })?;
        println!("MariaDB on 127.0.0.1:{port}");
        Ok(server)
    }

    pub(crate) fn url(&self) -> String {
        let Self { port, password, .. } = self;
        format!("mysql://{USER}:{password}@127.0.0.1:{port}/mysql")
    }

    /// Waits for the greeting: a connection alone only proves that the port is open.
    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended: {status}");
            }
            if greets(self.port) {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("it does not answer after {} s", PATIENCE.as_secs())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(LOOK_EVERY);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.socket);
    }
}

/// Stops the server of a run that was killed.
pub(super) fn stop_stale(folder: &Path) {
    let _ = fs::remove_file(socket(folder));
    let home = folder.join("mariadb");
    let pid = fs::read_to_string(home.join("pid")).ok();
    let Some(pid) = pid.and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?)) else {
        return;
    };
    let deadline = Instant::now() + PATIENCE;
    while runs_in(&home, pid) && Instant::now() < deadline {
        let _ = kill_process(pid, Signal::KILL);
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Tells whether the process is a server of this folder: the number may be another's by now.
fn runs_in(home: &Path, pid: Pid) -> bool {
    let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&cmdline).contains(&*home.to_string_lossy())
}

/// Returns the server's socket. Not under its folder: a socket's path has room for 100 bytes.
fn socket(folder: &Path) -> PathBuf {
    let run = folder.file_name().unwrap_or_default().to_string_lossy();
    std::env::temp_dir().join(format!("unistore-mariadb-{run}.sock"))
}

fn greets(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
        return false;
    };
    let timeout_set = stream.set_read_timeout(Some(Duration::from_secs(5)));
    timeout_set.is_ok() && stream.read_exact(&mut [0; 5]).is_ok()
}

/// One user with a password, nobody else. The server runs it before it takes connections.
fn init_sql(password: &str) -> String {
    format!(
        "CREATE OR REPLACE USER {USER}@'127.0.0.1' IDENTIFIED BY '{password}';\n\
         GRANT ALL PRIVILEGES ON *.* TO {USER}@'127.0.0.1' WITH GRANT OPTION;\n\
         DELETE FROM mysql.global_priv WHERE User NOT IN ('{USER}', 'mariadb.sys');\n\
         FLUSH PRIVILEGES;\n"
    )
}

#[derive(Debug)]
struct Programs {
    server: PathBuf,
    install_db: PathBuf,
}

impl Programs {
    fn find_or_install(runner: &mut Runner) -> Result<Self> {
        if let Some(programs) = Self::find() {
            return Ok(programs);
        }
        let instead =
            format!("set {MYSQL_VARIABLE} to the URL of a server where tests may create databases");
        packages::install(runner, &["mariadb-server"], &instead)?;
        match Self::find() {
            Some(programs) => Ok(programs),
            None => bail!(
                "mariadbd and mariadb-install-db are missing, even after installing mariadb-server"
            ),
        }
    }

    fn find() -> Option<Self> {
        Some(Self {
            server: packages::program("mariadbd")?,
            install_db: packages::program("mariadb-install-db")?,
        })
    }

    fn initialise(&self, home: &Path) -> Result<()> {
        let mut command = Command::new(&self.install_db);
        command
            .arg("--no-defaults")
            .arg(option("--datadir=", &home.join("data")))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
            .env("TMPDIR", home);
        run_quietly(as_root(&mut command))
    }

    fn spawn(&self, home: &Path, socket: &Path, port: u16) -> Result<Child> {
        let mut command = Command::new(&self.server);
        command
            .arg("--no-defaults")
            .arg(option("--datadir=", &home.join("data")))
            .arg(option("--init-file=", &home.join("init.sql")))
            .arg(option("--pid-file=", &home.join("pid")))
            .arg(option("--log-error=", &home.join("log")))
            .arg(option("--socket=", socket))
            .arg(format!("--port={port}"))
            .arg(format!("--max-connections={CONNECTIONS_MAX}"))
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve"])
            // A server that starts deletes the temporary tables of others in a shared folder.
            .env("TMPDIR", home);
        as_root(&mut command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", self.server.display()))
    }
}

/// MariaDB runs as root only when it is told so. It is private, on loopback and has a password.
fn as_root(command: &mut Command) -> &mut Command {
    if packages::is_root() {
        command.arg("--user=root");
    }
    command
}

fn option(name: &str, path: &Path) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from(name);
    option.push(path);
    option
}
