//! Children of this tool: each in a process group of its own, so that an interrupt reaches the
//! child and all that it started, and nothing of it is left behind when it ends.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Runs children and passes on the signals that this process receives.
///
/// As long as it exists an interrupt does not end this process at once: it ends the running child,
/// [`Runner::run`] returns [`Interrupted`], and destructors stop the servers.
#[derive(Debug)]
pub(crate) struct Runner {
    signals: Signals,
    interrupted: bool,
}

/// The error of a run that was ended by a signal.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

impl Runner {
    /// Takes over the signals of this process.
    pub(crate) fn new() -> Result<Self> {
        let signals = Signals::new([SIGCHLD, SIGINT, SIGTERM, SIGHUP])?;
        Ok(Self {
            signals,
            interrupted: false,
        })
    }

    /// Runs a child to its end and fails if the child does.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result<()> {
        let status = self.status(command)?;
        succeeded(command, status)
    }

    /// Runs a child like [`Runner::run`] and passes each line of its output on.
    pub(crate) fn run_lines(
        &mut self,
        command: &mut Command,
        on_line: impl FnMut(&str) + Send,
    ) -> Result<()> {
        let (reader, writer) = std::io::pipe()?;
        command.stdout(writer);
        let status = thread::scope(|scope| {
            scope.spawn(move || pass_on(BufReader::new(reader), on_line));
            let status = self.status(command);
            // The last writer of the pipe, so that the reader comes to its end.
            command.stdout(Stdio::inherit());
            status
        })?;
        succeeded(command, status)
    }

    /// Waits for an interrupt.
    pub(crate) fn wait_for_interrupt(&mut self) {
        while !self.interrupted {
            for signal in self.signals.wait() {
                self.interrupted |= signal != SIGCHLD;
            }
        }
    }

    fn status(&mut self, command: &mut Command) -> Result<ExitStatus> {
        self.drain();
        if self.interrupted {
            return Err(Interrupted.into());
        }
        let mut child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start `{}`", shown(command)))?;
        let group = group_of(&child)?;
        let status = self.wait(&mut child, group)?;
        // What the child left running; normally nothing, and then there is no such group.
        let _ = kill_process_group(group, Signal::KILL);
        if self.interrupted {
            return Err(Interrupted.into());
        }
        Ok(status)
    }

    fn wait(&mut self, child: &mut Child, group: Pid) -> Result<ExitStatus> {
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            for signal in self.signals.wait() {
                if signal == SIGCHLD {
                    continue;
                }
                // The first signal asks, the second one does not.
                let passed_on = if self.interrupted {
                    Signal::KILL
                } else {
                    Signal::INT
                };
                self.interrupted = true;
                let _ = kill_process_group(group, passed_on);
            }
        }
    }

    fn drain(&mut self) {
        for signal in self.signals.pending() {
            self.interrupted |= signal != SIGCHLD;
        }
    }
}

fn succeeded(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

fn pass_on(output: impl BufRead, mut on_line: impl FnMut(&str)) {
    for line in output.split(b'\n') {
        let Ok(line) = line else { return };
        on_line(&String::from_utf8_lossy(&line));
    }
}

/// Returns a command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|part| part.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn group_of(child: &Child) -> Result<Pid> {
    i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .context("a process id out of range")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_child_is_an_error_that_names_the_command() {
        let mut runner = Runner::new().unwrap();
        let error = runner.run(Command::new("sh").args(["-c", "exit 3"]));
        let text = error.unwrap_err().to_string();
        assert_eq!(text, "`sh -c exit 3` failed: exit status: 3");
        runner.run(&mut Command::new("true")).unwrap();
    }

    #[test]
    fn each_line_of_a_child_is_passed_on() {
        let mut runner = Runner::new().unwrap();
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two; exit 3"]);
        let result = runner.run_lines(&mut command, |line| lines.push(line.to_owned()));
        assert_eq!(lines, ["one", "two"]);
        assert!(result.unwrap_err().to_string().ends_with("exit status: 3"));
    }

    #[test]
    fn what_a_child_leaves_running_is_ended() {
        let mut runner = Runner::new().unwrap();
        // The grandchild would hold the pipe open for a minute.
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & exit 0"]).stdout(writer);
        runner.run(&mut command).unwrap();
        drop(command);
        let mut rest = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut rest).unwrap();
        assert!(rest.is_empty());
    }
}
