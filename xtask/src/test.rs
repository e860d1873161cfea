use std::ffi::OsString;

use anyhow::Result;

use crate::command::Runner;
use crate::servers::TestServers;
use crate::{kubectl, workspace};

/// Runs `cargo test` with everything that tests need from outside.
pub(crate) fn run(runner: &mut Runner, arguments: &[OsString]) -> Result<()> {
    let kubectl = kubectl::prepare(runner)?;
    let mut command = workspace::cargo();
    command.arg("test").env(kubectl::VARIABLE, kubectl);
    if arguments.is_empty() {
        // One failing crate must not hide what the others say.
        command.args(["--workspace", "--no-fail-fast"]);
    }
    let servers = TestServers::start(runner)?;
    runner.run(servers.export(command.args(arguments)))
}
