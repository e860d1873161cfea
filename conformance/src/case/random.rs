use std::env;

use crate::{Fixture, model};

/// Runs in the suite: few, as each backend and layer has them.
const RUNS: u32 = 32;
/// Chooses the runs; a fixed number, so that what failed once fails again.
const SEED: u64 = 20_240_607;

/// Random operations get the answers of the executable specification. A soak sets
/// `UNISTORE_MODEL_RUNS` to more runs, and `UNISTORE_MODEL_SEED` to get others.
pub async fn random_operations_agree_with_the_model(t: Fixture) {
    let runs = number("UNISTORE_MODEL_RUNS").unwrap_or(RUNS);
    let seed = number("UNISTORE_MODEL_SEED").unwrap_or(SEED);
    model::soak(t, runs, seed).await;
}

fn number<T: std::str::FromStr>(variable: &str) -> Option<T> {
    let text = env::var(variable).ok()?;
    let number = text.parse().ok();
    Some(number.unwrap_or_else(|| panic!("{variable} is not a number: {text:?}")))
}
