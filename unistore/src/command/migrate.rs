mod answer;
mod bar;
mod reach;
mod server;
mod stores;

use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use dualwriter::{Forced, Kind, Mode, Repair};

use self::answer::Answer;
use self::reach::{Reach, reach};
use super::{DIFFERENT, SAME};
use crate::cli::{
    MigrateArguments, MigrateCommand, PromoteArguments, RollbackArguments, VerifyArguments,
};
use crate::config_file::ConfigFile;
use crate::migration::Differing;
use crate::signals::Signals;

/// The exit code when what was asked for was done.
const DONE: u8 = SAME;
/// The exit code when the answer is no: a gate is shut, something is left, something differs.
const NO: u8 = DIFFERENT;

/// Moves kinds from one store to another.
pub(crate) async fn run(arguments: MigrateArguments, file: &ConfigFile) -> Result<ExitCode> {
    let answer = Answer::new(arguments.reach.output);
    let reach = reach(arguments.reach, file).await?;
    let mut signals = Signals::listen()?;
    let code = tokio::select! {
        code = order(&*reach, arguments.command, &answer) => code,
        () = signals.next() => Err(anyhow!("interrupted: {}", reach.after_interrupt())),
    };
    tokio::select! {
        () = reach.close() => {}
        () = signals.next() => {}
    }
    Ok(ExitCode::from(code?))
}

async fn order(reach: &dyn Reach, command: MigrateCommand, answer: &Answer) -> Result<u8> {
    match command {
        MigrateCommand::Status { kind: None } => {
            answer.statuses(&reach.statuses().await?)?;
            Ok(DONE)
        }
        MigrateCommand::Status { kind: Some(kind) } => {
            answer.status(&reach.status(&kind.0).await?)?;
            Ok(DONE)
        }
        MigrateCommand::Sync { kind } => sync(reach, &kind.0, answer).await,
        MigrateCommand::Promote(arguments) => promote(reach, arguments, answer).await,
        MigrateCommand::Rollback(arguments) => rollback(reach, arguments, answer).await,
        MigrateCommand::Verify(arguments) => verify(reach, arguments, answer).await,
    }
}

async fn sync(reach: &dyn Reach, kind: &Kind, answer: &Answer) -> Result<u8> {
    let report = reach.sync(kind).await?;
    answer.synced(kind, &report)?;
    Ok(if report.complete { DONE } else { NO })
}

async fn promote(reach: &dyn Reach, arguments: PromoteArguments, answer: &Answer) -> Result<u8> {
    let kind = arguments.kind.0;
    let now = reach.mode(&kind).await?;
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
    change(reach, &kind, to, forced, answer).await
}

async fn rollback(reach: &dyn Reach, arguments: RollbackArguments, answer: &Answer) -> Result<u8> {
    let kind = arguments.kind.0;
    let now = reach.mode(&kind).await?;
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
    change(reach, &kind, to, forced, answer).await
}

async fn change(
    reach: &dyn Reach,
    kind: &Kind,
    to: Mode,
    forced: Forced,
    answer: &Answer,
) -> Result<u8> {
    match reach.set_mode(kind, to, forced).await? {
        Ok(transition) => {
            answer.changed(kind, transition)?;
            Ok(DONE)
        }
        Err(refused) => {
            answer.refused(kind, &refused)?;
            Ok(NO)
        }
    }
}

async fn verify(reach: &dyn Reach, arguments: VerifyArguments, answer: &Answer) -> Result<u8> {
    let kind = arguments.kind.0;
    let repair = if arguments.repair {
        Repair::Yes
    } else {
        Repair::No
    };
    // A repair goes on to its end, whether anybody reads what it tells or not.
    let mut told = Ok(());
    let mut tell = |differing: &Differing| {
        if told.is_ok() {
            told = answer.differing(differing, repair);
        }
    };
    let found = reach.verify(&kind, repair, &mut tell).await?;
    told?;
    answer.verified(&kind, &found)?;
    Ok(if found.is_equal() { DONE } else { NO })
}
