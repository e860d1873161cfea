mod answer;
mod bar;
mod stores;

use std::process::ExitCode;

use anyhow::{Result, bail};
use dualwriter::{Forced, Kind, Mode, Repair};

use self::answer::Answer;
use self::stores::Stores;
use super::{DIFFERENT, SAME};
use crate::cli::{
    MigrateArguments, MigrateCommand, PromoteArguments, RollbackArguments, VerifyArguments,
};
use crate::config_file::ConfigFile;

/// The exit code when what was asked for was done.
const DONE: u8 = SAME;
/// The exit code when the answer is no: a gate is shut, something is left, something differs.
const NO: u8 = DIFFERENT;

/// Moves kinds from one store to another.
pub(crate) async fn run(arguments: MigrateArguments, file: &ConfigFile) -> Result<ExitCode> {
    let answer = Answer::new(arguments.reach.output);
    let stores = Stores::open(arguments.reach.stores, file).await?;
    let code = order(&stores, arguments.command, &answer).await;
    stores.close().await;
    Ok(ExitCode::from(code?))
}

async fn order(stores: &Stores, command: MigrateCommand, answer: &Answer) -> Result<u8> {
    match command {
        MigrateCommand::Status { kind: None } => {
            answer.statuses(&stores.statuses().await?)?;
            Ok(DONE)
        }
        MigrateCommand::Status { kind: Some(kind) } => {
            answer.status(&stores.status(&kind.0).await?)?;
            Ok(DONE)
        }
        MigrateCommand::Sync { kind } => sync(stores, &kind.0, answer).await,
        MigrateCommand::Promote(arguments) => promote(stores, arguments, answer).await,
        MigrateCommand::Rollback(arguments) => rollback(stores, arguments, answer).await,
        MigrateCommand::Verify(arguments) => verify(stores, arguments, answer).await,
    }
}

async fn sync(stores: &Stores, kind: &Kind, answer: &Answer) -> Result<u8> {
    let report = stores.sync(kind).await?;
    answer.synced(kind, &report)?;
    Ok(if report.complete { DONE } else { NO })
}

async fn promote(stores: &Stores, arguments: PromoteArguments, answer: &Answer) -> Result<u8> {
    let kind = arguments.kind.0;
    let now = stores.mode(&kind).await?;
    let to = match arguments.to {
        Some(to) => to,
        None => Mode::from_number((now.number() + 1).min(5))?,
    };
    if to < now {
        bail!("{kind} is in mode {now}: `unistore migrate rollback` goes down to mode {to}");
    }
    let forced = if arguments.skip_sync {
        Forced::SkipSync
    } else {
        Forced::No
    };
    change(stores, &kind, to, forced, answer).await
}

async fn rollback(stores: &Stores, arguments: RollbackArguments, answer: &Answer) -> Result<u8> {
    let kind = arguments.kind.0;
    let now = stores.mode(&kind).await?;
    let to = match arguments.to {
        Some(to) => to,
        None => Mode::from_number(now.number().saturating_sub(1))?,
    };
    if to > now {
        bail!("{kind} is in mode {now}: `unistore migrate promote` goes up to mode {to}");
    }
    let forced = if arguments.accept_loss {
        Forced::AcceptLoss
    } else {
        Forced::No
    };
    change(stores, &kind, to, forced, answer).await
}

async fn change(
    stores: &Stores,
    kind: &Kind,
    to: Mode,
    forced: Forced,
    answer: &Answer,
) -> Result<u8> {
    match stores.set_mode(kind, to, forced).await? {
        Ok(transition) => {
            answer.changed(kind, transition)?;
            Ok(DONE)
        }
        Err(refusal) => {
            answer.refused(kind, &refusal)?;
            Ok(NO)
        }
    }
}

async fn verify(stores: &Stores, arguments: VerifyArguments, answer: &Answer) -> Result<u8> {
    let kind = arguments.kind.0;
    let mut found = Vec::new();
    let repair = if arguments.repair {
        Repair::Yes
    } else {
        Repair::No
    };
    let report = stores
        .verify(&kind, repair, |difference| {
            answer.difference(&difference);
            found.push(difference);
        })
        .await?;
    answer.verified(&kind, &report, &found)?;
    let left = report.differences - report.repaired;
    Ok(if left == 0 { DONE } else { NO })
}
