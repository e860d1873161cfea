use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use dualwriter::Mode;

use super::{StoresArguments, UnifiedStorageArguments};
use crate::unified_storage::KindName;

#[derive(Debug, Args)]
pub(crate) struct MigrateArguments {
    #[command(subcommand)]
    pub(crate) command: MigrateCommand,
    #[command(flatten)]
    pub(crate) reach: ReachArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MigrateCommand {
    /// Show how kinds stand: mode, sync, unfinished writes, gates
    Status {
        /// A kind, as RESOURCE.GROUP or RESOURCE; all without one
        #[arg(value_name = "KIND")]
        kind: Option<KindName>,
    },
    /// Make the other store equal to the one that is the truth, and open the gate
    ///
    /// From legacy to unified in modes 1 to 3, back in modes 4 and 5. A sync that was killed goes
    /// on where it was.
    Sync {
        /// The kind, as RESOURCE.GROUP or RESOURCE
        #[arg(value_name = "KIND")]
        kind: KindName,
    },
    /// Change a kind to the next higher mode
    Promote(PromoteArguments),
    /// Change a kind to the next lower mode
    Rollback(RollbackArguments),
    /// Compare both stores in full and print each difference
    Verify(VerifyArguments),
}

#[derive(Debug, Args)]
pub(crate) struct PromoteArguments {
    /// The kind, as RESOURCE.GROUP or RESOURCE
    #[arg(value_name = "KIND")]
    pub(crate) kind: KindName,
    /// The mode to change to, instead of the next one
    #[arg(long, value_name = "MODE")]
    pub(crate) to: Option<Mode>,
    /// Pass without a completed sync: the store may miss objects
    #[arg(long)]
    pub(crate) skip_sync: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RollbackArguments {
    /// The kind, as RESOURCE.GROUP or RESOURCE
    #[arg(value_name = "KIND")]
    pub(crate) kind: KindName,
    /// The mode to change to, instead of the next one
    #[arg(long, value_name = "MODE")]
    pub(crate) to: Option<Mode>,
    /// Leave modes 4 and 5 without a reverse sync, and lose what was written there
    #[arg(long)]
    pub(crate) accept_loss: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// The kind, as RESOURCE.GROUP or RESOURCE
    #[arg(value_name = "KIND")]
    pub(crate) kind: KindName,
    /// Make the store that is not the truth equal where they differ
    #[arg(long)]
    pub(crate) repair: bool,
}

/// How the stores are reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options")]
pub(crate) struct ReachArguments {
    #[command(flatten)]
    pub(crate) stores: StoresArguments,
    /// The data directory of a server to ask, on this machine [default: UNISTORE_SERVER_DATA_DIR, else unistore-data]
    #[arg(long, value_name = "FOLDER", global = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// A file of settings in INI form, as of `unistore serve`
    #[arg(long, value_name = "FILE", env = "UNISTORE_CONFIG", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// How to write the answer
    #[arg(
        long,
        short,
        value_name = "FORMAT",
        default_value = "text",
        global = true
    )]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) unified_storage: UnifiedStorageArguments,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON value on standard output.
    Json,
}
