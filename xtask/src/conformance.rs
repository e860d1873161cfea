//! The conformance suite as a table: what each backend promised, and kept.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use anyhow::{Result, bail};

use crate::command::Runner;
use crate::servers::TestServers;
use crate::workspace;

/// Runs the suite on every backend and prints the table of cases and backends.
///
/// The arguments go to the tests, so that a part of a name selects a part of the suite.
pub(crate) fn run(runner: &mut Runner, arguments: &[OsString]) -> Result<()> {
    let mut command = workspace::cargo();
    // The tests of this name are made of the suite's cases, in whichever crate they are.
    command.args(["test", "--workspace", "--no-fail-fast"]);
    command
        .args(["--test", "conformance", "--"])
        .args(arguments);
    let servers = TestServers::start(runner)?;
    let mut table = Table::default();
    let result = runner.run_lines(servers.export(&mut command), |line| {
        println!("{line}");
        table.read(line);
    });
    println!("\n{}", table.shown());
    result?;
    table.judge()
}

/// What became of a case on a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Ignored,
}

/// Cases by name, and for each the backends that it ran on.
#[derive(Debug, Default)]
struct Table {
    cases: BTreeMap<String, BTreeMap<String, Outcome>>,
}

impl Table {
    /// Takes up a line of the test program: `test redb::bare::a_case ... ok`.
    fn read(&mut self, line: &str) {
        let Some((name, outcome)) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.split_once(" ... "))
        else {
            return;
        };
        let Some((backend, case)) = name.rsplit_once("::") else {
            return;
        };
        let outcome = match outcome {
            "ok" => Outcome::Passed,
            ignored if ignored.starts_with("ignored") => Outcome::Ignored,
            _ => Outcome::Failed,
        };
        let row = self.cases.entry(case.to_owned()).or_default();
        row.insert(backend.replace("::", " "), outcome);
    }

    fn backends(&self) -> BTreeSet<&str> {
        let rows = self.cases.values();
        rows.flat_map(|row| row.keys().map(String::as_str))
            .collect()
    }

    /// Fails unless every case ran, and passed, on every backend.
    fn judge(&self) -> Result<()> {
        let backends = self.backends();
        let asked = self.cases.len() * backends.len();
        let passed = self.count(|outcome| outcome == Outcome::Passed);
        if asked == 0 {
            bail!("no case of the suite ran");
        }
        if passed < asked {
            bail!("{} of {asked} cases did not pass", asked - passed);
        }
        println!("all {asked} passed");
        Ok(())
    }

    fn count(&self, wanted: impl Fn(Outcome) -> bool) -> usize {
        let rows = self.cases.values();
        rows.flat_map(BTreeMap::values)
            .filter(|outcome| wanted(**outcome))
            .count()
    }

    /// A row for each case, and a numbered column for each backend.
    fn shown(&self) -> String {
        let backends = self.backends();
        let width = self.cases.keys().map(String::len).max().unwrap_or(0);
        let mut text = format!(
            "{} cases on {} backends\n",
            self.cases.len(),
            backends.len()
        );
        for (column, backend) in backends.iter().enumerate() {
            text += &format!("{:3} {backend}\n", column + 1);
        }
        // The number of a column is read from top to bottom.
        for place in [10, 1] {
            let digits = (1..=backends.len()).map(|column| digit(column, place));
            text += &format!("{:width$} {}\n", "", digits.collect::<String>());
        }
        for (case, row) in &self.cases {
            let cells: String = backends.iter().map(|name| cell(row.get(*name))).collect();
            text += &format!("{case:width$} {cells}\n");
        }
        text + "+ passed  x failed  - ignored  . did not run\n"
    }
}

fn digit(number: usize, place: usize) -> char {
    if number < place {
        return ' ';
    }
    let digit = u32::try_from(number / place % 10).unwrap_or_default();
    char::from_digit(digit, 10).unwrap_or(' ')
}

fn cell(outcome: Option<&Outcome>) -> char {
    match outcome {
        Some(Outcome::Passed) => '+',
        Some(Outcome::Failed) => 'x',
        Some(Outcome::Ignored) => '-',
        None => '.',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(lines: &[&str]) -> Table {
        let mut table = Table::default();
        for line in lines {
            table.read(line);
        }
        table
    }

    #[test]
    fn the_table_has_a_row_for_each_case_and_a_column_for_each_backend() {
        let table = table(&[
            "running 3 tests",
            "test redb::bare::commits ... ok",
            "test sled::bare::commits ... ok",
            "test redb::bare::pages_at_a_revision ... FAILED",
            "test result: FAILED. 2 passed; 1 failed",
        ]);
        let lines: Vec<_> = table.shown().lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "2 cases on 2 backends",
                "  1 redb bare",
                "  2 sled bare",
                "                      ",
                "                    12",
                "commits             ++",
                "pages_at_a_revision x.",
                "+ passed  x failed  - ignored  . did not run",
            ]
        );
        let error = table.judge().unwrap_err().to_string();
        assert_eq!(error, "2 of 4 cases did not pass");
    }

    #[test]
    fn a_case_that_did_not_run_everywhere_fails_the_table() {
        let partial = table(&["test a::x ... ok", "test b::x ... ignored, why"]);
        assert!(partial.judge().is_err());
        assert!(table(&[]).judge().is_err());
        assert!(
            table(&["test a::x ... ok", "test b::x ... ok"])
                .judge()
                .is_ok()
        );
    }
}
