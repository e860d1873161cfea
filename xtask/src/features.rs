//! The feature matrix of the binary: each engine alone, none, all; and nothing of an engine in a
//! binary that was built without it.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{Runner, shown};
use crate::steps::Steps;
use crate::workspace;

/// Each engine's feature, and the crates that only that engine brings.
const ENGINES: [(&str, &[&str]); 5] = [
    ("redb", &["redb"]),
    ("sled", &["sled"]),
    ("sqlite", &["rusqlite", "libsqlite3-sys"]),
    ("postgres", &["sqlx-postgres"]),
    ("mysql", &["sqlx-mysql"]),
];

/// Checks that each selection of engines builds and holds what it names, and nothing else.
pub(crate) fn run(runner: &mut Runner, steps: &mut Steps) -> Result<()> {
    for selection in selections() {
        let name = format!("features: {}", shown_selection(&selection));
        steps.step(&name, || {
            contains_only(&selection)?;
            let mut check = with_features("clippy", &selection);
            runner.run(check.args(["--package", "unistore", "--", "-D", "warnings"]))
        })?;
    }
    Ok(())
}

/// Each engine alone, and none. All of them is what every other step builds.
fn selections() -> Vec<Vec<&'static str>> {
    let alone = ENGINES.iter().map(|(feature, _)| vec![*feature]);
    alone.chain([vec![]]).collect()
}

fn shown_selection(selection: &[&str]) -> String {
    if selection.is_empty() {
        return "none".to_owned();
    }
    selection.join(", ")
}

fn with_features(verb: &str, selection: &[&str]) -> Command {
    let mut command = workspace::cargo();
    command
        .args([verb, "--no-default-features", "--features"])
        .arg(selection.join(","));
    command
}

/// Compares what the binary is linked from with the engines that were asked for.
fn contains_only(selection: &[&str]) -> Result<()> {
    let linked = linked_crates(selection)?;
    let violations = differences(selection, &linked);
    if !violations.is_empty() {
        bail!("{}", violations.join("; "));
    }
    println!(
        "{} crates, engines: {}",
        linked.len(),
        shown_selection(selection)
    );
    Ok(())
}

fn linked_crates(selection: &[&str]) -> Result<Vec<String>> {
    let mut tree = with_features("tree", selection);
    tree.args([
        "--package",
        "unistore",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{lib}",
    ]);
    let output = tree
        .output()
        .with_context(|| format!("cannot start `{}`", shown(&tree)))?;
    if !output.status.success() {
        bail!(
            "`{}` failed: {}",
            shown(&tree),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let mut crates: Vec<_> = String::from_utf8(output.stdout)?
        .lines()
        .map(|line| line.trim_end_matches("(*)").trim().replace('_', "-"))
        .filter(|name| !name.is_empty())
        .collect();
    crates.sort();
    crates.dedup();
    Ok(crates)
}

fn differences(selection: &[&str], linked: &[String]) -> Vec<String> {
    let mut differences = Vec::new();
    for (feature, crates) in ENGINES {
        let wanted = selection.contains(&feature);
        for name in crates {
            let there = linked.iter().any(|linked| linked == name);
            let state = match (wanted, there) {
                (true, false) => "on, but not linked:",
                (false, true) => "off, but linked:",
                (true, true) | (false, false) => continue,
            };
            differences.push(format!("{feature} is {state} {name}"));
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_too_many_or_too_few_is_named() {
        let linked = ["redb".to_owned(), "sled".to_owned()];
        assert_eq!(
            differences(&["redb", "sled"], &linked),
            Vec::<String>::new()
        );
        assert_eq!(
            differences(&["redb"], &linked),
            ["sled is off, but linked: sled"]
        );
        assert_eq!(
            differences(&["redb", "sled", "postgres"], &linked),
            ["postgres is on, but not linked: sqlx-postgres"]
        );
    }
}
