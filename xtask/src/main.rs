//! The project's one tool. Run it as `cargo xtask COMMAND`.

mod check;
mod ci;
mod command;
mod conformance;
mod edges;
mod failures;
mod features;
mod kubectl;
mod packages;
mod servers;
mod smoke;
mod steps;
mod test;
mod tidy;
mod workspace;

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use command::{Interrupted, Runner};
use servers::TestServers;
use steps::Steps;

/// The exit code of a run that a signal ended, as shells have it.
const EXIT_INTERRUPTED: u8 = 130;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's one tool", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run the tests with private PostgreSQL and MariaDB servers and the kubectl programs found
    Test {
        /// Arguments for `cargo test`; the whole workspace when there are none
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run the conformance suite on every backend and print the table of cases and backends
    Conformance {
        /// Arguments for the tests, such as a part of a case's name
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Start the test servers and keep them until Ctrl-C, or run a command with them
    Servers {
        /// The command to run; without one the URLs are printed
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Check format, crate edges, tidiness, lints and documentation
    Check,
    /// Check the binary with each engine alone and with none
    Features,
    /// Run every bench once, to see that it works
    BenchSmoke,
    /// Run every fuzz target for a few seconds
    FuzzSmoke,
    /// Run a fuzz target until it finds something
    Fuzz {
        /// A file of fuzz/fuzz_targets, without its ending
        target: String,
        /// Arguments for libFuzzer, such as -max_total_time=600
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run everything, and show where the time went
    Ci,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Interrupted>() => ExitCode::from(EXIT_INTERRUPTED),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    let mut runner = Runner::new()?;
    let mut steps = Steps::default();
    let result = match task {
        Task::Test { arguments } => test::run(&mut runner, &arguments),
        Task::Conformance { arguments } => conformance::run(&mut runner, &arguments),
        Task::Servers { command } => with_servers(&mut runner, &command),
        Task::Check => check::run(&mut runner, &mut steps),
        Task::Features => features::run(&mut runner, &mut steps),
        Task::BenchSmoke => smoke::benches(&mut runner),
        Task::FuzzSmoke => smoke::fuzz_targets(&mut runner),
        Task::Fuzz { target, arguments } => smoke::fuzz(&mut runner, &target, &arguments),
        Task::Ci => ci::run(&mut runner, &mut steps),
    };
    steps.print();
    result
}

fn with_servers(runner: &mut Runner, command: &[OsString]) -> Result<()> {
    let servers = TestServers::start(runner)?;
    match command {
        [] => {
            for (name, url) in servers.variables() {
                println!("export {name}='{url}'");
            }
            println!("# Ctrl-C stops them");
            runner.wait_for_interrupt();
            Ok(())
        }
        [program, arguments @ ..] => {
            runner.run(servers.export(Command::new(program).args(arguments)))
        }
    }
}
