//! What each command does.

mod check;
mod copy;
mod diff;
mod migrate;
mod serve;

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::Command;
use crate::config_file::ConfigFile;

/// The exit code of a comparison that found nothing.
const SAME: u8 = 0;
/// The exit code of a comparison that found something.
const DIFFERENT: u8 = 1;
/// The exit code of a comparison that could not be made.
pub(crate) const TROUBLE: u8 = 2;

/// Runs a command to its end.
pub(crate) async fn run(command: Command, file: &ConfigFile) -> Result<ExitCode> {
    match command {
        Command::Serve(arguments) => serve::run(*arguments, file).await,
        Command::Check(arguments) => check::run(arguments).await,
        Command::Copy(arguments) => copy::run(arguments).await,
        Command::Migrate(arguments) => migrate::run(*arguments, file).await,
        Command::Diff(arguments) => diff::run(arguments).await,
    }
}
