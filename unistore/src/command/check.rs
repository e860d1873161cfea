use std::process::ExitCode;

use anyhow::Result;
use unistore::{consistency, registry};

use super::{DIFFERENT, SAME};
use crate::cli::CheckArguments;

/// Disagreements that are printed; the rest is counted.
const SHOWN_MAX: usize = 100;

/// Prints what a store holds and what disagrees in it.
pub(crate) async fn run(arguments: CheckArguments) -> Result<ExitCode> {
    let url = arguments.store;
    let mut disagreements = registry::check_rows(&url).await?;
    let store = registry::open_existing(&url).await?;
    let report = consistency::check(&store).await?;
    disagreements.extend(report.disagreements);
    println!("store      {url}");
    println!("revision   {}", report.revision);
    println!("objects    {}", report.objects);
    println!("history    {} revisions", report.history);
    println!("trash      {} objects", report.trash);
    println!("changes    {} can be read", report.changes);
    for disagreement in disagreements.iter().take(SHOWN_MAX) {
        println!("WRONG      {disagreement}");
    }
    if disagreements.is_empty() {
        println!("everything agrees");
        return Ok(ExitCode::from(SAME));
    }
    println!("{} disagreements", disagreements.len());
    if report.disturbed {
        println!("the store was written to meanwhile: check again when it is at rest");
    }
    Ok(ExitCode::from(DIFFERENT))
}
