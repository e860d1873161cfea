//! The binary: serves a store, checks it, copies it, compares it, moves kinds between two.

mod authority;
mod cli;
mod command;
mod config_file;
mod data_dir;
mod health;
mod identity;
mod log;
mod metrics;
mod migration;
mod open;
mod say;
mod settings;
mod sides;
mod signals;
mod unified_storage;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use cli::{Arguments, Command};
use config_file::ConfigFile;
use say::Unwritable;
use settings::LogSettings;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let failed = match arguments.command {
        Command::Check(_) | Command::Diff(_) | Command::Migrate(_) => {
            ExitCode::from(command::TROUBLE)
        }
        Command::Serve(_) | Command::Copy(_) => ExitCode::FAILURE,
    };
    run(arguments).unwrap_or_else(|error| {
        complain(&error);
        failed
    })
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    config_file::check_environment(config_file::variables().map(|(name, _)| name))?;
    let file = match &arguments.command {
        Command::Serve(serve) => ConfigFile::read(serve.config.as_deref())?,
        Command::Migrate(migrate) => ConfigFile::read(migrate.reach.config.as_deref())?,
        Command::Check(_) | Command::Copy(_) | Command::Diff(_) => ConfigFile::default(),
    };
    let default_filter = match &arguments.command {
        // It prints itself what it does.
        Command::Migrate(_) => "warn",
        Command::Serve(_) | Command::Check(_) | Command::Copy(_) | Command::Diff(_) => "info",
    };
    log::start(&LogSettings::new(&arguments.log, &file, default_filter)?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(command::run(arguments.command, &file));
    // After a second signal, what still runs is not waited for.
    runtime.shutdown_background();
    result
}

/// Tells of an error on standard error, unless it is that nobody reads standard output any more.
fn complain(error: &anyhow::Error) {
    let unwritable = error.downcast_ref::<Unwritable>();
    if !unwritable.is_some_and(Unwritable::is_unread) {
        // Should nobody read this either, the exit code is left.
        let _ = writeln!(std::io::stderr(), "error: {}", readable(error));
    }
}

/// Writes an error and its causes in one line, each cause once.
fn readable(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
