use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A binary to test instead of the one that was built with the tests, such as a release build.
const BINARY_VARIABLE: &str = "UNISTORE_TEST_BINARY";

/// Returns the binary with arguments.
pub(crate) fn unistore(arguments: &[&str]) -> Command {
    let program = std::env::var_os(BINARY_VARIABLE);
    let mut command = Command::new(program.unwrap_or(env!("CARGO_BIN_EXE_unistore").into()));
    command.args(arguments).stdin(Stdio::null());
    // What the person who runs the tests has set must not change them.
    for (name, _) in std::env::vars() {
        if name.starts_with("UNISTORE_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    unistore(arguments).output().unwrap()
}

/// Runs the binary to its end and returns what it printed; it must succeed.
pub(crate) fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(
        output.status.success(),
        "unistore {arguments:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Sends a signal to a process.
pub(crate) fn send(process: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// A serving process. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    // Open as long as the process may print.
    _stdout: BufReader<ChildStdout>,
    data: PathBuf,
    /// What it printed until it was ready.
    pub(crate) announcement: String,
    /// Where it is.
    pub(crate) url: String,
}

impl Server {
    /// Serves a store on a free port and returns once it is ready.
    pub(crate) fn start(store: &str, data: &Path) -> Self {
        Self::start_with(store, data, &[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(store: &str, data: &Path, arguments: &[&str]) -> Self {
        std::fs::create_dir_all(data).unwrap();
        let log = data.join("test.log");
        let mut command = unistore(&["serve", "--store", store, "--data-dir"]);
        command.arg(data);
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let mut child = command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(
                File::options()
                    .create(true)
                    .append(true)
                    .open(&log)
                    .unwrap(),
            )
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut announcement = String::new();
        // The last line is the command to type next.
        while !announcement.contains("kubectl --kubeconfig=") {
            if stdout.read_line(&mut announcement).unwrap() == 0 {
                let status = child.wait().unwrap();
                let log = std::fs::read_to_string(&log).unwrap();
                panic!("the server did not start: {status}\n{announcement}{log}");
            }
        }
        let first = announcement.lines().next().unwrap();
        let url = first.rsplit(' ').next().unwrap().to_owned();
        Self {
            child,
            _stdout: stdout,
            data: data.to_owned(),
            announcement,
            url,
        }
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.data.join("unistore.kubeconfig")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Stops it the friendly way; it must end well.
    pub(crate) fn stop(mut self) {
        self.stop_in_place();
    }

    /// The same, for whoever keeps the value.
    pub(crate) fn stop_in_place(&mut self) {
        self.signal(Signal::TERM);
        let status = self.child.wait().unwrap();
        let log = std::fs::read_to_string(self.data.join("test.log")).unwrap();
        assert!(status.success(), "{status}\n{log}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
