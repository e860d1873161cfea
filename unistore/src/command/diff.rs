use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;
use unistore::diff::diff;
use unistore::registry;

use super::{DIFFERENT, SAME};
use crate::cli::DiffArguments;
use crate::say::say;

/// Prints each difference between two stores.
pub(crate) async fn run(arguments: DiffArguments) -> Result<ExitCode> {
    let DiffArguments { first, second } = arguments;
    let a = registry::open_existing(&first)
        .await
        .context("the first store")?;
    let b = registry::open_existing(&second)
        .await
        .context("the second store")?;
    let mut count = 0_u64;
    // What cannot be told need not be looked for.
    let stopped = CancellationToken::new();
    let mut said = Ok(());
    let comparing = diff(&a, &b, |difference| {
        count += 1;
        if said.is_ok() {
            said = say(difference);
        }
        if said.is_err() {
            stopped.cancel();
        }
    });
    let compared = stopped.run_until_cancelled(comparing).await;
    said?;
    compared.transpose()?;
    match count {
        0 => say("no difference")?,
        1 => say("1 difference")?,
        count => say(format_args!("{count} differences"))?,
    }
    Ok(ExitCode::from(if count == 0 { SAME } else { DIFFERENT }))
}
