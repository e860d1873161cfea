use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use unistore::copy::copy;
use unistore::registry;

use crate::cli::CopyArguments;
use crate::say::say;

/// Copies a store and shows how far it is.
pub(crate) async fn run(arguments: CopyArguments) -> Result<ExitCode> {
    let CopyArguments { from, to } = arguments;
    if from == to {
        bail!("the store cannot be copied into itself");
    }
    let source = registry::open_existing(&from)
        .await
        .context("the store to copy")?;
    let target = registry::open(&to)
        .await
        .context("the store to copy into")?;
    let bar = ProgressBar::no_length().with_style(style()?);
    bar.set_message("reading");
    let copied = copy(&source, &target, |copied| {
        bar.set_length(copied.records);
        bar.set_position(copied.done);
        bar.set_message(HumanBytes(copied.bytes).to_string());
    })
    .await;
    bar.finish_and_clear();
    let copied = copied.context("the copy is not complete; run it again to go on")?;
    say(format_args!(
        "copied {} revisions ({} values) from {from} to {to}",
        HumanCount(copied.done),
        HumanBytes(copied.bytes)
    ))?;
    if copied.renumbered > 0 {
        say(format_args!(
            "{} of them have new revision numbers: the target had used theirs",
            HumanCount(copied.renumbered)
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn style() -> Result<ProgressStyle> {
    let template = "{bar:40} {human_pos} of {human_len} revisions, {msg}, {eta} left";
    Ok(ProgressStyle::with_template(template)?)
}
