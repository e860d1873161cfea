use std::ffi::OsString;
use std::{env, thread};

use anyhow::Result;

use crate::command::Runner;
use crate::failures::Failures;
use crate::servers::TestServers;
use crate::{kubectl, workspace};

/// How many tests of a program run at the same time, as the test runner knows it.
const THREADS_VARIABLE: &str = "RUST_TEST_THREADS";

/// Runs `cargo test` with everything that tests need from outside. What the test runner tells of tests
/// that failed is told again at the end, where it is found.
pub(crate) fn run(runner: &mut Runner, arguments: &[OsString]) -> Result<()> {
    let kubectl = kubectl::prepare(runner)?;
    let mut command = workspace::cargo();
    command.arg("test").env(kubectl::VARIABLE, kubectl);
    if arguments.is_empty() {
        // One failing crate must not hide what the others say.
        command.args(["--workspace", "--no-fail-fast"]);
    }
    if env::var_os(THREADS_VARIABLE).is_none() {
        // More than cores: most tests wait for disks and servers for a good part of their time.
        let cores = thread::available_parallelism()?.get();
        command.env(THREADS_VARIABLE, (cores + cores / 2).to_string());
    }
    let servers = TestServers::start(runner)?;
    let mut failures = Failures::default();
    let result = runner.run_lines(servers.export(command.args(arguments)), |line| {
        println!("{line}");
        failures.read(line);
    });
    print!("{}", failures.shown());
    result
}
