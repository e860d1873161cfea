use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{CONNECTIONS_MAX, POSTGRES_VARIABLE, free_port, password, run_quietly};
use crate::command::Runner;
use crate::packages;

/// The user of the server's own superuser role.
const ROLE: &str = "unistore";

/// The system's user that runs the server when this process is root: PostgreSQL refuses root.
const SYSTEM_USER: &str = "postgres";

/// Where Debian keeps the programs of each version.
const DEBIAN_FOLDER: &str = "/usr/lib/postgresql";

/// A private PostgreSQL server. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Server {
    programs: Programs,
    data: PathBuf,
    port: u16,
    password: String,
}

impl Server {
    pub(crate) fn start(runner: &mut Runner, folder: &Path) -> Result<Self> {
        let programs = Programs::find_or_install(runner)?;
        let home = home(folder)?;
        let server = Self {
            programs,
            data: home.join("data"),
            port: free_port()?,
            password: password()?,
        };
        server.initialise(&home)?;
        let settings = [
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            format!("port={}", server.port),
            format!("max_connections={CONNECTIONS_MAX}"),
        ];
        let options: Vec<_> = settings.iter().map(|set| format!("-c {set}")).collect();
        let log = home.join("log");
        let start = server.programs.run_quietly(
            "pg_ctl",
            &[
                "start".as_ref(),
                "--wait".as_ref(),
                "--pgdata".as_ref(),
                server.data.as_os_str(),
                "--log".as_ref(),
                log.as_os_str(),
                "--options".as_ref(),
                options.join(" ").as_ref(),
            ],
        );
        start.with_context(|| {
            let log = fs::read_to_string(&log).unwrap_or_default();
            format!("cannot start PostgreSQL\n{log}")
        })?;
        println!("PostgreSQL on 127.0.0.1:{}", server.port);
        Ok(server)
    }

    pub(crate) fn url(&self) -> String {
        let Self { port, password, .. } = self;
        format!("postgres://{ROLE}:{password}@127.0.0.1:{port}/postgres")
    }

    fn initialise(&self, home: &Path) -> Result<()> {
        let password_file = home.join("password");
        fs::write(&password_file, &self.password)?;
        fs::set_permissions(&password_file, fs::Permissions::from_mode(0o600))?;
        give_away(&password_file)?;
        self.programs.run_quietly(
            "initdb",
            &[
                "--pgdata".as_ref(),
                self.data.as_os_str(),
                "--username".as_ref(),
                ROLE.as_ref(),
                "--pwfile".as_ref(),
                password_file.as_os_str(),
                // The password goes over the loopback only. With SCRAM the server would hash it 4,096
                // times for each of thousands of connections, and so would the clients, unoptimised.
                "--auth=md5".as_ref(),
                "--encoding=UTF8".as_ref(),
                "--locale=C.UTF-8".as_ref(),
                // The files of a test server need not survive a power loss while it is made.
                "--no-sync".as_ref(),
            ],
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&self.programs, &self.data, "fast");
        if let Some(home) = self.data.parent() {
            let _ = fs::remove_dir_all(home);
        }
    }
}

/// Stops the server of a run that was killed.
pub(crate) fn stop_stale(folder: &Path) {
    let Some(programs) = Programs::find() else {
        return;
    };
    for home in [folder.join("postgres"), outside(folder)] {
        if home.exists() {
            stop(&programs, &home.join("data"), "immediate");
            let _ = fs::remove_dir_all(home);
        }
    }
}

fn stop(programs: &Programs, data: &Path, mode: &str) {
    let stopped = programs.run_quietly(
        "pg_ctl",
        &[
            "stop".as_ref(),
            "--wait".as_ref(),
            "--mode".as_ref(),
            mode.as_ref(),
            "--pgdata".as_ref(),
            data.as_os_str(),
        ],
    );
    if let Err(error) = stopped
        && data.join("postmaster.pid").exists()
    {
        eprintln!("cannot stop PostgreSQL: {error:#}");
    }
}

/// Creates the server's folder where the user that runs it can reach it.
fn home(folder: &Path) -> Result<PathBuf> {
    let home = folder.join("postgres");
    fs::create_dir(&home)?;
    give_away(&home)?;
    if !packages::is_root() || reachable(&home) {
        return Ok(home);
    }
    // The project lies in a folder that only root can enter, such as /root.
    let elsewhere = outside(folder);
    fs::create_dir(&elsewhere).with_context(|| format!("cannot create {}", elsewhere.display()))?;
    give_away(&elsewhere)?;
    Ok(elsewhere)
}

fn outside(folder: &Path) -> PathBuf {
    let run = folder.file_name().unwrap_or_default().to_string_lossy();
    std::env::temp_dir().join(format!("unistore-test-postgres-{run}"))
}

fn reachable(folder: &Path) -> bool {
    let mut test = as_system_user("test");
    test.arg("-w").arg(folder);
    test.status().is_ok_and(|status| status.success())
}

/// Gives a file to the user that runs the server, when that is not us.
fn give_away(path: &Path) -> Result<()> {
    if !packages::is_root() {
        return Ok(());
    }
    let (user, group) = system_user()?;
    chown(path, Some(user), Some(group))
        .with_context(|| format!("cannot give {} to user {SYSTEM_USER}", path.display()))
}

fn system_user() -> Result<(u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd")?;
    let line = passwd
        .lines()
        .find(|line| line.split(':').next() == Some(SYSTEM_USER));
    let ids = line.and_then(|line| {
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    ids.with_context(|| {
        format!("no user {SYSTEM_USER} to run PostgreSQL, which refuses root: install Debian's package postgresql, or set {POSTGRES_VARIABLE}")
    })
}

fn as_system_user(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid",
            SYSTEM_USER,
            "--regid",
            SYSTEM_USER,
            "--clear-groups",
        ])
        .arg(program.as_ref())
        // Any folder will do, as long as that user may be in it.
        .current_dir("/");
    command
}

/// The folder with `initdb`, `pg_ctl` and `postgres`.
#[derive(Debug)]
struct Programs {
    folder: PathBuf,
}

impl Programs {
    fn find_or_install(runner: &mut Runner) -> Result<Self> {
        if let Some(programs) = Self::find() {
            return Ok(programs);
        }
        let instead = format!(
            "set {POSTGRES_VARIABLE} to the URL of a server where tests may create databases"
        );
        packages::install(runner, &["postgresql"], &instead)?;
        match Self::find() {
            Some(programs) => Ok(programs),
            None => bail!("initdb and pg_ctl are missing, even after installing postgresql"),
        }
    }

    fn find() -> Option<Self> {
        let of_debian = Path::new(DEBIAN_FOLDER)
            .read_dir()
            .ok()
            .into_iter()
            .flatten();
        let mut folders: Vec<_> = of_debian
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .collect();
        // Newest first; one on the PATH is taken when Debian's folder has none.
        folders.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
        folders.extend(packages::program("initdb").and_then(|initdb| {
            let initdb = initdb.canonicalize().ok()?;
            Some(initdb.parent()?.to_owned())
        }));
        let complete = |folder: &PathBuf| {
            ["initdb", "pg_ctl", "postgres"]
                .iter()
                .all(|name| packages::is_program(&folder.join(name)))
        };
        folders
            .into_iter()
            .find(complete)
            .map(|folder| Self { folder })
    }

    fn run_quietly(&self, program: &str, arguments: &[&std::ffi::OsStr]) -> Result<()> {
        let program = self.folder.join(program);
        let mut command = if packages::is_root() {
            as_system_user(program)
        } else {
            Command::new(program)
        };
        // pg_ctl's server must not die of an interrupt that is meant for us.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        run_quietly(command.args(arguments))
    }
}

fn version(bin: &Path) -> u32 {
    let version = bin
        .parent()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str());
    version.and_then(|name| name.parse().ok()).unwrap_or(0)
}
