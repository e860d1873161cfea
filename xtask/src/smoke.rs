//! Short runs of what is meant to run long, to see that it still works.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::Runner;
use crate::servers::TestServers;
use crate::workspace;

/// How long each fuzz target runs.
const FUZZ_SECONDS: u32 = 10;

/// What makes libFuzzer see where the code goes. Stable codegen options: no nightly compiler, no
/// sanitizer and no cargo-fuzz is needed for a run that looks for panics.
/// `tokio_unstable` lets the simulator choose in which order tasks take turns, so that an input
/// gives the same run each time.
const FUZZ_FLAGS: &str = "--cfg fuzzing --cfg tokio_unstable -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table";

/// What makes libFuzzer see what inputs are compared with, too.
const COMPARES_FLAG: &str = "-Cllvm-args=-sanitizer-coverage-trace-compares";

/// Targets whose bytes are choices and are compared with nothing: without the hooks in comparisons
/// they make two to three times as many runs.
const CHOICES: [&str; 1] = ["transitions"];

/// Runs every bench once, in the profile of the tests: it shows that they work, not how fast.
pub(crate) fn benches(runner: &mut Runner) -> Result<()> {
    let servers = TestServers::start(runner)?;
    let mut benches = workspace::cargo();
    // Of the workspace: for one package alone, dependencies are built anew with its features only.
    benches.args(["test", "--workspace", "--bench", "*"]);
    runner.run(servers.export(&mut benches))
}

/// Builds and runs every fuzz target for a few seconds.
pub(crate) fn fuzz_targets(runner: &mut Runner) -> Result<()> {
    let fuzz = Fuzz::build(runner, Compares::Seen)?;
    for target in targets()? {
        println!("fuzzing {target} for {FUZZ_SECONDS} s");
        let limit = format!("-max_total_time={FUZZ_SECONDS}");
        fuzz.run(runner, &target, &[limit.into()])?;
    }
    Ok(())
}

/// Runs one fuzz target, with arguments for libFuzzer, until it finds something or is interrupted.
pub(crate) fn fuzz(runner: &mut Runner, target: &str, arguments: &[OsString]) -> Result<()> {
    let targets = targets()?;
    if !targets.iter().any(|known| known == target) {
        bail!("no fuzz target {target}; there are {}", targets.join(", "));
    }
    let compares = if CHOICES.contains(&target) {
        Compares::Ignored
    } else {
        Compares::Seen
    };
    Fuzz::build(runner, compares)?.run(runner, target, arguments)
}

/// Whether libFuzzer sees what inputs are compared with.
#[derive(Clone, Copy)]
enum Compares {
    Seen,
    Ignored,
}

/// The fuzz targets, built.
struct Fuzz {
    programs: PathBuf,
    /// Inputs that were found interesting, kept from run to run, and those that broke something.
    corpora: PathBuf,
    /// Inputs to begin with, which are part of the source.
    seeds: PathBuf,
}

impl Fuzz {
    fn build(runner: &mut Runner, compares: Compares) -> Result<Self> {
        let host = host()?;
        let folder = workspace::target_dir().join("fuzz");
        let (built, flags) = match compares {
            Compares::Seen => (folder.clone(), format!("{FUZZ_FLAGS} {COMPARES_FLAG}")),
            Compares::Ignored => (folder.join("choices"), FUZZ_FLAGS.to_owned()),
        };
        let mut build = workspace::cargo();
        // A named target keeps the flags away from build scripts.
        build
            .args(["build", "--release", "--target", &host, "--manifest-path"])
            .arg(workspace::root().join("fuzz/Cargo.toml"))
            .arg("--target-dir")
            .arg(&built)
            .env("RUSTFLAGS", flags);
        runner.run(&mut build)?;
        Ok(Self {
            programs: built.join(host).join("release"),
            corpora: folder.join("corpus"),
            seeds: workspace::root().join("fuzz/corpus"),
        })
    }

    fn run(&self, runner: &mut Runner, target: &str, arguments: &[OsString]) -> Result<()> {
        let corpus = self.corpora.join(target);
        std::fs::create_dir_all(&corpus)?;
        let mut fuzz = Command::new(self.programs.join(target));
        let artifacts = format!("-artifact_prefix={}/{target}-", self.corpora.display());
        fuzz.arg(&corpus);
        let seeds = self.seeds.join(target);
        if seeds.is_dir() {
            fuzz.arg(seeds);
        }
        runner.run(fuzz.arg(artifacts).args(arguments))
    }
}

fn targets() -> Result<Vec<String>> {
    let sources = workspace::root().join("fuzz/fuzz_targets");
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
