use anyhow::Result;

use crate::command::Runner;
use crate::steps::Steps;
use crate::{check, features, smoke, test, workspace};

/// Runs everything, what fails fastest first.
pub(crate) fn run(runner: &mut Runner, steps: &mut Steps) -> Result<()> {
    check::run(runner, steps)?;
    features::run(runner, steps)?;
    steps.step("build tests", || {
        runner.run(workspace::cargo().args(["test", "--workspace", "--no-run"]))
    })?;
    steps.step("tests", || test::run(runner, &[]))?;
    steps.step("benches, once", || smoke::benches(runner))?;
    steps.step("fuzz targets, briefly", || smoke::fuzz_targets(runner))
}
