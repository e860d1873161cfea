use anyhow::{Result, bail};

use crate::command::Runner;
use crate::steps::Steps;
use crate::{edges, tidy, workspace};

/// Everything that can be said about the sources without running them.
pub(crate) fn run(runner: &mut Runner, steps: &mut Steps) -> Result<()> {
    steps.step("format", || {
        runner.run(workspace::cargo().args(["fmt", "--all", "--check"]))
    })?;
    steps.step("crate edges and tidiness", || {
        let mut violations = edges::violations(&workspace::metadata()?);
        violations.extend(tidy::violations(workspace::root())?);
        if violations.is_empty() {
            return Ok(());
        }
        bail!(
            "{} rules broken:\n{}",
            violations.len(),
            violations.join("\n")
        )
    })?;
    steps.step("clippy", || {
        let lint = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ];
        runner.run(workspace::cargo().args(lint))
    })?;
    steps.step("documentation", || {
        let mut document = workspace::cargo();
        document.args(["doc", "--workspace", "--no-deps"]);
        runner.run(document.env("RUSTDOCFLAGS", "-D warnings"))
    })
}
