//! Private database servers for tests: on free ports of the loopback address, with their files
//! under `target/test-servers/`, stopped and removed when the run ends, however it ends.

mod mariadb;
mod place;
mod postgres;

use std::net::TcpListener;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::Runner;
use place::RunFolder;

/// The variable with the URL of a PostgreSQL server where tests may create databases.
pub(crate) const POSTGRES_VARIABLE: &str = "UNISTORE_TEST_POSTGRES";
/// The variable with the URL of a MySQL or MariaDB server where tests may create databases.
pub(crate) const MYSQL_VARIABLE: &str = "UNISTORE_TEST_MYSQL";

/// Connections that a test server takes: many tests, each with its pool.
const CONNECTIONS_MAX: u32 = 500;

/// The servers of one run. Dropping it stops those that it started.
#[derive(Debug)]
pub(crate) struct TestServers {
    postgres_url: String,
    mysql_url: String,
    // Fields drop in order: the servers stop before their folder goes.
    _postgres: Option<postgres::Server>,
    _mariadb: Option<mariadb::Server>,
    _folder: RunFolder,
}

impl TestServers {
    /// Starts what the environment does not name.
    pub(crate) fn start(runner: &mut Runner) -> Result<Self> {
        let folder = RunFolder::create()?;
        let (postgres, postgres_url) = match std::env::var(POSTGRES_VARIABLE) {
            Ok(url) => (None, url),
            Err(_) => {
                let server = postgres::Server::start(runner, folder.path())?;
                let url = server.url();
                (Some(server), url)
            }
        };
        let (mariadb, mysql_url) = match std::env::var(MYSQL_VARIABLE) {
            Ok(url) => (None, url),
            Err(_) => {
                let server = mariadb::Server::start(runner, folder.path())?;
                let url = server.url();
                (Some(server), url)
            }
        };
        Ok(Self {
            postgres_url,
            mysql_url,
            _postgres: postgres,
            _mariadb: mariadb,
            _folder: folder,
        })
    }

    /// Returns the variables that tests read.
    pub(crate) fn variables(&self) -> [(&'static str, &str); 2] {
        [
            (POSTGRES_VARIABLE, &self.postgres_url),
            (MYSQL_VARIABLE, &self.mysql_url),
        ]
    }

    /// Tells a command where the servers are.
    pub(crate) fn export<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(self.variables())
    }
}

/// Asks the system for a port that nobody uses. Somebody else may take it before the server does;
/// then the start fails and says so.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

/// Returns a password that nobody else on this machine can guess.
fn password() -> Result<String> {
    use std::io::Read;
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Runs a program that prepares a server, quietly unless it fails.
fn run_quietly(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot start `{}`", crate::command::shown(command)))?;
    if !output.status.success() {
        bail!(
            "`{}` failed: {}\n{}{}",
            crate::command::shown(command),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
