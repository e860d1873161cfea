//! What can be typed.

mod migrate;

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use unistore::{StoreUrl, registry};

pub(crate) use self::migrate::{
    MigrateArguments, MigrateCommand, Output, PromoteArguments, ReachArguments, RollbackArguments,
    VerifyArguments,
};
use crate::settings::{Age, Limit};
use crate::unified_storage::{SyncInterval, SyncRecordsLimit};

/// Storage for Kubernetes-style objects, served to kubectl and every Kubernetes client.
#[derive(Debug, Parser)]
#[command(name = "unistore", version, after_help = engines_help())]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) log: LogArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a store to Kubernetes clients
    ///
    /// The first start makes certificates, an admin credential and a kubeconfig in the data
    /// directory, and prints the next command to type. Ctrl-C or SIGTERM stops it once requests are
    /// answered; a second one stops it at once.
    #[command(after_help = engines_help())]
    Serve(Box<ServeArguments>),
    /// Verify that a store's objects, history, trash, changes and counts agree
    ///
    /// Exit code 0: they agree. 1: they do not; each disagreement is printed. 2: the store could
    /// not be checked.
    #[command(after_help = engines_help())]
    Check(CheckArguments),
    /// Copy a store into another one: live objects, history and trash
    ///
    /// Revisions, times and request ids are kept. A copy that was cut off goes on where it ended
    /// when the same command is run again. The target must be empty and not in use.
    #[command(after_help = engines_help())]
    Copy(CopyArguments),
    /// Move kinds of objects from one store to another while they are used
    ///
    /// With --legacy and --store (or their variables, or --config) it works on the stores
    /// themselves, which servers may be using too. Without them, or with --data-dir, it asks the
    /// server that runs with that data directory, as it must where a store is embedded.
    ///
    /// Exit code 0: done. 1: the answer is no: a gate is shut, a sync left something, the stores
    /// differ. 2: it could not be done.
    #[command(after_help = engines_help())]
    Migrate(Box<MigrateArguments>),
    /// Compare two stores: everything but revisions
    ///
    /// Exit code 0: no difference. 1: there are; each one is printed. 2: the stores could not be
    /// compared.
    #[command(after_help = engines_help())]
    Diff(DiffArguments),
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Log")]
pub(crate) struct LogArguments {
    /// What to log: off, error, warn, info, debug, trace, or per module as in `info,backend_kv=debug` [default: info; warn for migrate]
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "UNISTORE_LOG_FILTER"
    )]
    pub(crate) log_filter: Option<String>,
    /// How to write log lines, which go to standard error [default: text]
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        env = "UNISTORE_LOG_FORMAT"
    )]
    pub(crate) log_format: Option<LogFormat>,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// One store, or two of which one is being left.
#[derive(Debug, Args)]
pub(crate) struct StoresArguments {
    /// The store, as ENGINE:WHERE; see the list below [default: an embedded store in the data directory]
    #[arg(
        long,
        value_name = "URL",
        env = "UNISTORE_STORAGE_STORE",
        hide_env_values = true,
        value_parser = StoreUrlParser,
        global = true
    )]
    pub(crate) store: Option<StoreUrl>,
    /// The store to move away from: the dual writer runs over both, with a mode for each kind.
    /// UNISTORE_LEGACY is a shorter name of the variable
    #[arg(
        long,
        value_name = "URL",
        env = "UNISTORE_STORAGE_LEGACY",
        hide_env_values = true,
        value_parser = StoreUrlParser,
        global = true
    )]
    pub(crate) legacy: Option<StoreUrl>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Options")]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    pub(crate) stores: StoresArguments,
    /// The address to listen on; port 0 takes any free one [default: 127.0.0.1:7443]
    #[arg(long, value_name = "ADDRESS:PORT", env = "UNISTORE_SERVER_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,
    /// The folder for certificates, credentials, the kubeconfig and embedded stores [default: unistore-data]
    #[arg(long, value_name = "FOLDER", env = "UNISTORE_SERVER_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// A file of settings in INI form; flags and environment go before it
    #[arg(long, value_name = "FILE", env = "UNISTORE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The server's certificate chain in PEM form, instead of a generated one
    #[arg(long, value_name = "FILE", env = "UNISTORE_SERVER_TLS_CERT")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert in PEM form
    #[arg(long, value_name = "FILE", env = "UNISTORE_SERVER_TLS_KEY")]
    pub(crate) tls_key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) retention: RetentionArguments,
    #[command(flatten)]
    pub(crate) unified_storage: UnifiedStorageArguments,
}

#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "The sync from --legacy to --store")]
pub(crate) struct UnifiedStorageArguments {
    /// Whether kinds in modes 1 and 2 are synced at an interval [default: true]
    #[arg(
        long,
        value_name = "true|false",
        env = "UNISTORE_UNIFIED_STORAGE_ENABLE_DATA_SYNC"
    )]
    pub(crate) enable_data_sync: Option<bool>,
    /// How often they are [default: 1h]
    #[arg(
        long,
        value_name = "TIME",
        env = "UNISTORE_UNIFIED_STORAGE_DATA_SYNC_INTERVAL"
    )]
    pub(crate) data_sync_interval: Option<SyncInterval>,
    /// How many objects a sync compares at a time; it is no cap [default: 1000]
    #[arg(
        long,
        value_name = "COUNT",
        env = "UNISTORE_UNIFIED_STORAGE_DATA_SYNC_RECORDS_LIMIT"
    )]
    pub(crate) data_sync_records_limit: Option<SyncRecordsLimit>,
    /// Let a kind pass to modes 3 and 4 without a completed sync [default: false]
    #[arg(
        long,
        value_name = "true|false",
        env = "UNISTORE_UNIFIED_STORAGE_SKIP_DATA_SYNC"
    )]
    pub(crate) skip_data_sync: Option<bool>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What is kept of the past (a time is 90s, 15m, 12h or 30d)")]
pub(crate) struct RetentionArguments {
    /// Changes younger than this are kept for watches, whatever --changes-max says [default: 5m]
    #[arg(long, value_name = "TIME", env = "UNISTORE_RETENTION_CHANGES_AGE_MIN")]
    pub(crate) changes_age_min: Option<Age>,
    /// Changes older than this are dropped [default: 1h]
    #[arg(
        long,
        value_name = "TIME|unlimited",
        env = "UNISTORE_RETENTION_CHANGES_AGE_MAX"
    )]
    pub(crate) changes_age_max: Option<Limit<Age>>,
    /// About how many changes are kept [default: 1000000]
    #[arg(
        long,
        value_name = "COUNT|unlimited",
        env = "UNISTORE_RETENTION_CHANGES_MAX"
    )]
    pub(crate) changes_max: Option<Limit<u64>>,
    /// How many revisions of each object are kept [default: 20]
    #[arg(
        long,
        value_name = "COUNT|unlimited",
        env = "UNISTORE_RETENTION_HISTORY_PER_OBJECT"
    )]
    pub(crate) history_per_object: Option<Limit<usize>>,
    /// Deleted objects leave the trash after this time [default: 30d]
    #[arg(
        long,
        value_name = "TIME|unlimited",
        env = "UNISTORE_RETENTION_TRASH_AGE_MAX"
    )]
    pub(crate) trash_age_max: Option<Limit<Age>>,
    /// How often the past is tidied [default: 1m]
    #[arg(long, value_name = "TIME", env = "UNISTORE_RETENTION_INTERVAL")]
    pub(crate) retention_interval: Option<Age>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The store, as ENGINE:WHERE
    #[arg(
        long,
        value_name = "URL",
        env = "UNISTORE_STORAGE_STORE",
        hide_env_values = true,
        value_parser = StoreUrlParser
    )]
    pub(crate) store: StoreUrl,
}

#[derive(Debug, Args)]
pub(crate) struct CopyArguments {
    /// The store to copy, as ENGINE:WHERE
    #[arg(value_name = "FROM", value_parser = StoreUrlParser)]
    pub(crate) from: StoreUrl,
    /// The empty store to copy into, or one with a part of an earlier copy
    #[arg(value_name = "TO", value_parser = StoreUrlParser)]
    pub(crate) to: StoreUrl,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArguments {
    /// The first store, as ENGINE:WHERE
    #[arg(value_name = "A", value_parser = StoreUrlParser)]
    pub(crate) first: StoreUrl,
    /// The second store
    #[arg(value_name = "B", value_parser = StoreUrlParser)]
    pub(crate) second: StoreUrl,
}

/// Reads the address of a store. What is wrong is said without the text itself, which clap would
/// repeat: it may hold a password.
#[derive(Clone, Copy, Debug)]
struct StoreUrlParser;

impl TypedValueParser for StoreUrlParser {
    type Value = StoreUrl;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<StoreUrl, clap::Error> {
        let parsed = match value.to_str() {
            Some(text) => text
                .parse()
                .map_err(|error: storage_core::Error| error.to_string()),
            None => Err("the address of a store is not UTF-8".to_owned()),
        };
        parsed.map_err(|why| {
            let name = argument.map_or_else(String::new, |argument| format!("{argument}: "));
            clap::Error::raw(ErrorKind::ValueValidation, format!("{name}{why}\n")).with_cmd(command)
        })
    }
}

fn engines_help() -> String {
    let engines = registry::engines();
    let width = engines.iter().map(|engine| engine.form.len()).max();
    let width = width.unwrap_or(0);
    let lines: Vec<_> = engines
        .iter()
        .map(|engine| format!("  {:width$}  {}", engine.form, engine.about))
        .collect();
    format!("Stores that this binary has:\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        Arguments::command().debug_assert();
    }

    /// An address that was mistyped was printed whole.
    #[test]
    fn a_password_is_not_repeated() {
        let address = "Postgres://me:secret@localhost/db";
        for arguments in [
            ["unistore", "serve", "--store", address].as_slice(),
            &["unistore", "serve", "--legacy", address],
            &["unistore", "migrate", "status", "--legacy", address],
            &["unistore", "check", "--store", address],
            &["unistore", "copy", address, "memory:"],
            &["unistore", "copy", "memory:", address],
            &["unistore", "diff", address, "memory:"],
            &["unistore", "diff", "memory:", address],
        ] {
            let error = Arguments::try_parse_from(arguments)
                .unwrap_err()
                .to_string();
            assert!(!error.contains("secret"), "{arguments:?}: {error}");
            assert!(error.contains("in lower case"), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn the_help_names_the_engines() {
        let help = Arguments::command().render_help().to_string();
        assert!(help.contains("memory:"), "{help}");
    }
}
