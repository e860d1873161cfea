//! What test programs tell of the tests that failed, kept for the end of a long run.

use std::fmt::Write;

/// Lines that are kept; those beyond are counted.
const LINES_MAX: usize = 1_000;

/// The parts of a test runner's output that tell of failures.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    lines: Vec<String>,
    left_out: usize,
    /// The next line is of such a part.
    inside: bool,
}

impl Failures {
    /// Takes up a line of a test program: the part begins with `failures:` and ends with its result.
    pub(crate) fn read(&mut self, line: &str) {
        self.inside |= line == "failures:";
        if !self.inside {
            return;
        }
        self.inside = !line.starts_with("test result:");
        if self.lines.len() < LINES_MAX {
            self.lines.push(line.to_owned());
        } else {
            self.left_out += 1;
        }
    }

    /// Returns what was kept, nothing if nothing failed.
    pub(crate) fn shown(&self) -> String {
        let mut text = String::new();
        if !self.lines.is_empty() {
            text += "\n==> what failed, once more\n";
        }
        for line in &self.lines {
            text += line;
            text.push('\n');
        }
        if self.left_out > 0 {
            let _ = writeln!(text, "and {} lines that stand above", self.left_out);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_told_once_more() {
        let mut failures = Failures::default();
        for line in ["test a ... ok", "", "test result: ok. 1 passed"] {
            failures.read(line);
        }
        assert_eq!(failures.shown(), "");
        let told = [
            "failures:",
            "",
            "---- b stdout ----",
            "thread 'b' panicked",
            "",
            "failures:",
            "    b",
            "",
            "test result: FAILED. 0 passed; 1 failed",
        ];
        for line in ["running 1 test", "test b ... FAILED"].iter().chain(&told) {
            failures.read(line);
        }
        failures.read("running 0 tests");
        let shown = failures.shown();
        let lines: Vec<&str> = shown.lines().skip(2).collect();
        assert_eq!(lines, told);
    }

    #[test]
    fn lines_beyond_the_limit_are_counted() {
        let mut failures = Failures::default();
        failures.read("failures:");
        (0..LINES_MAX + 1).for_each(|_| failures.read("x"));
        let shown = failures.shown();
        assert!(
            shown.ends_with("x\nand 2 lines that stand above\n"),
            "{shown}"
        );
    }
}
