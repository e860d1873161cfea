//! Named steps of a run, and the table of where the time went.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The steps that ran so far.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(String, Duration, bool)>,
}

impl Steps {
    /// Runs a step; a failing one ends the run.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("\n==> {name}");
        let start = Instant::now();
        let result = work();
        self.done
            .push((name.to_owned(), start.elapsed(), result.is_ok()));
        result.with_context(|| format!("step `{name}`"))
    }

    /// Prints where the time went, if there was more than one step.
    pub(crate) fn print(&self) {
        if self.done.len() > 1 {
            println!("{}", self.table());
        }
    }

    fn table(&self) -> String {
        let width = self.done.iter().map(|(name, ..)| name.len()).max();
        let width = width.unwrap_or(0).max("total".len());
        let mut total = Duration::ZERO;
        let mut table = format!("\n{:width$}  {:>8}\n", "step", "time");
        for (name, took, passed) in &self.done {
            total += *took;
            let failed = if *passed { "" } else { "  failed" };
            table += &format!("{name:width$}  {:>8}{failed}\n", minutes(*took));
        }
        table + &format!("{:width$}  {:>8}", "total", minutes(total))
    }
}

fn minutes(took: Duration) -> String {
    let seconds = took.as_secs();
    format!("{}m{:02}s", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_each_step_and_which_one_failed() {
        let mut steps = Steps::default();
        steps.step("first", || Ok(())).unwrap();
        let error = steps.step("second", || anyhow::bail!("broken"));
        assert_eq!(format!("{:#}", error.unwrap_err()), "step `second`: broken");
        let table = steps.table();
        let lines: Vec<_> = table.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(
            lines,
            [
                "step        time",
                "first      0m00s",
                "second     0m00s  failed",
                "total      0m00s",
            ]
        );
    }
}
