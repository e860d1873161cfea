//! Short runs of what is meant to run long, to see that it still works.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::Runner;
use crate::workspace;

/// How long each fuzz target runs.
const FUZZ_SECONDS: u32 = 10;

/// What makes libFuzzer see where the code goes. Stable codegen options: no nightly compiler, no
/// sanitizer and no cargo-fuzz is needed for a run that looks for panics.
const FUZZ_FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Runs every bench once, in the profile of the tests: it shows that they work, not how fast.
pub(crate) fn benches(runner: &mut Runner) -> Result<()> {
    runner.run(workspace::cargo().args(["test", "--package", "bench", "--benches"]))
}

/// Builds and runs every fuzz target for a few seconds.
pub(crate) fn fuzz_targets(runner: &mut Runner) -> Result<()> {
    let folder = workspace::root().join("fuzz");
    let targets = targets(&folder)?;
    let host = host()?;
    let build_dir = workspace::target_dir().join("fuzz");
    let mut build = workspace::cargo();
    build
        .args(["build", "--release", "--target", &host, "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&build_dir)
        .env("RUSTFLAGS", FUZZ_FLAGS);
    runner.run(&mut build)?;
    for target in targets {
        println!("fuzzing {target} for {FUZZ_SECONDS} s");
        let corpus = build_dir.join("corpus").join(&target);
        std::fs::create_dir_all(&corpus)?;
        let program = build_dir.join(&host).join("release").join(&target);
        let mut fuzz = Command::new(program);
        fuzz.arg(&corpus)
            .arg(format!("-max_total_time={FUZZ_SECONDS}"))
            .arg(format!("-artifact_prefix={}/", build_dir.display()));
        runner.run(&mut fuzz)?;
    }
    Ok(())
}

fn targets(folder: &Path) -> Result<Vec<String>> {
    let sources = folder.join("fuzz_targets");
    let entries = sources
        .read_dir()
        .with_context(|| format!("no fuzz targets in {}", sources.display()))?;
    let paths: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    let mut targets: Vec<_> = paths
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    targets.sort();
    if targets.is_empty() {
        bail!("no fuzz targets in {}", sources.display());
    }
    Ok(targets)
}

fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output()?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc -vV names no host")
}
