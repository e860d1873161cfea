use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::server::Server;

/// The kubectl programs to test, as `PATH` names folders.
const VARIABLE: &str = "UNISTORE_KUBECTL";

/// Returns the kubectl programs to test: those that `cargo xtask test` found, else those on the
/// `PATH`.
pub(crate) fn programs() -> Vec<PathBuf> {
    let named = std::env::var_os(VARIABLE);
    let programs: Vec<_> = match &named {
        Some(list) => std::env::split_paths(list).collect(),
        None => {
            let path = std::env::var_os("PATH").unwrap();
            let found = std::env::split_paths(&path).map(|folder| folder.join("kubectl"));
            found.filter(|program| program.is_file()).take(1).collect()
        }
    };
    assert!(
        !programs.is_empty(),
        "no kubectl: run `cargo xtask test`, which finds or installs one, or name some in {VARIABLE}"
    );
    programs
}

/// A kubectl that talks to a server.
pub(crate) struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    // Caches of one version must not answer for another.
    home: TempDir,
}

impl Kubectl {
    pub(crate) fn new(program: &Path, server: &Server) -> Self {
        Self {
            program: program.to_owned(),
            kubeconfig: server.kubeconfig(),
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// The first one of [`programs`].
    pub(crate) fn any(server: &Server) -> Self {
        Self::new(&programs()[0], server)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .env("HOME", self.home.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it and returns what it printed to both outputs; it must succeed.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        let program = self.program.display();
        assert!(output.status.success(), "{program} {arguments:?}: {text}");
        text
    }

    /// Runs it and reads what it printed as JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
