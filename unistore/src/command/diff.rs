use std::process::ExitCode;

use anyhow::{Context, Result};
use unistore::diff::diff;
use unistore::registry;

use super::{DIFFERENT, SAME};
use crate::cli::DiffArguments;

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
    diff(&a, &b, |difference| {
        count += 1;
        println!("{difference}");
    })
    .await?;
    match count {
        0 => println!("no difference"),
        1 => println!("1 difference"),
        count => println!("{count} differences"),
    }
    Ok(ExitCode::from(if count == 0 { SAME } else { DIFFERENT }))
}
