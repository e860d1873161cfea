use std::process::ExitCode;

use anyhow::Result;
use unistore::{consistency, registry};

use super::{DIFFERENT, SAME};
use crate::cli::CheckArguments;
use crate::say::say;

/// Disagreements that are printed; the rest is counted.
const SHOWN_MAX: usize = 100;

/// Prints what a store holds and what disagrees in it.
pub(crate) async fn run(arguments: CheckArguments) -> Result<ExitCode> {
    let url = arguments.store;
    let mut disagreements = registry::check_rows(&url).await?;
    let store = registry::open_existing(&url).await?;
    let report = consistency::check(&store).await?;
    disagreements.extend(report.disagreements);
    say(format_args!("store      {url}"))?;
    say(format_args!("revision   {}", report.revision))?;
    say(format_args!("objects    {}", report.objects))?;
    say(format_args!("history    {} revisions", report.history))?;
    say(format_args!("trash      {} objects", report.trash))?;
    say(format_args!("changes    {} can be read", report.changes))?;
    for disagreement in disagreements.iter().take(SHOWN_MAX) {
        say(format_args!("WRONG      {disagreement}"))?;
    }
    if disagreements.is_empty() {
        say("everything agrees")?;
        return Ok(ExitCode::from(SAME));
    }
    say(format_args!("{} disagreements", disagreements.len()))?;
    if report.disturbed {
        say("the store was written to meanwhile: check again when it is at rest")?;
    }
    Ok(ExitCode::from(DIFFERENT))
}
