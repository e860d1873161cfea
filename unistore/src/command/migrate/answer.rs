use anyhow::Result;
use dualwriter::{Difference, Kind, Refusal, SyncReport, Transition, Unequal, VerifyReport};
use serde::Serialize;
use serde_json::json;

use crate::cli::Output;
use crate::migration::{self, Migration, MigrationStatus};

/// Tells what was found or done, on standard output.
pub(super) struct Answer(Output);

impl Answer {
    pub(super) const fn new(output: Output) -> Self {
        Self(output)
    }

    /// Writes text for people, or else a value for programs.
    fn say(&self, text: impl FnOnce() -> String, value: &impl Serialize) -> Result<()> {
        match self.0 {
            Output::Text => println!("{}", text()),
            Output::Json => println!("{}", serde_json::to_string_pretty(value)?),
        }
        Ok(())
    }

    pub(super) fn statuses(&self, statuses: &[Migration]) -> Result<()> {
        self.say(|| table(statuses), &statuses)
    }

    pub(super) fn status(&self, status: &Migration) -> Result<()> {
        self.say(|| paragraph(status), status)
    }

    pub(super) fn synced(&self, kind: &Kind, report: &SyncReport) -> Result<()> {
        let text = || {
            let SyncReport {
                compared,
                repaired,
                failed,
                passes,
                ..
            } = report;
            let end = if report.complete {
                "both stores are equal".to_owned()
            } else {
                format!("{failed} could not be settled: run it again")
            };
            format!(
                "{kind}: compared {compared} objects in {passes} passes, repaired {repaired}; {end}"
            )
        };
        self.say(text, report)
    }

    pub(super) fn changed(&self, kind: &Kind, transition: Transition) -> Result<()> {
        let Transition { from, to } = transition;
        let text = || {
            if from == to {
                format!("{kind} is in mode {to} already")
            } else {
                format!("{kind} went from mode {from} to mode {to}")
            }
        };
        let value = json!({"name": kind.to_string(), "from": from.number(), "to": to.number()});
        self.say(text, &value)
    }

    pub(super) fn refused(&self, kind: &Kind, refusal: &Refusal) -> Result<()> {
        let refused = json!({"name": kind.to_string(), "refused": {
            "from": refusal.from, "to": refusal.to,
            "gate": migration::name(refusal.gate), "how": refusal.how}});
        self.say(|| format!("{kind}: {refusal}"), &refused)
    }

    /// Prints a difference as soon as it is found; for programs they come together.
    pub(super) fn difference(&self, difference: &Difference) {
        match self.0 {
            Output::Text => println!("{}", sentence(difference)),
            Output::Json => {}
        }
    }

    pub(super) fn verified(
        &self,
        kind: &Kind,
        report: &VerifyReport,
        found: &[Difference],
    ) -> Result<()> {
        let text = || {
            let VerifyReport {
                compared,
                differences,
                repaired,
            } = report;
            format!(
                "{kind}: compared {compared} objects, {differences} differ, {repaired} were repaired"
            )
        };
        let value = json!({"compared": report.compared, "repaired": report.repaired,
            "differences": found});
        self.say(text, &value)
    }
}

fn sentence(difference: &Difference) -> String {
    let what = match &difference.what {
        Unequal::MissingInLegacy => "is missing in legacy".to_owned(),
        Unequal::MissingInUnified => "is missing in unified".to_owned(),
        Unequal::Value { paths } if paths.is_empty() => "has two values".to_owned(),
        Unequal::Value { paths } => format!("differs in {}", paths.join(", ")),
        Unequal::Origin => "was written at another time or by another request".to_owned(),
    };
    let repaired = if difference.repaired {
        ", repaired"
    } else {
        ""
    };
    format!("{} {what}{repaired}", difference.key)
}

fn table(statuses: &[Migration]) -> String {
    let width = statuses.iter().map(|status| status.name.len()).max();
    let width = width.unwrap_or(0);
    let mut lines = vec![format!(
        "{:width$}  MODE  CONFIGURED  SYNCED  IN DOUBT  QUEUED",
        "NAME"
    )];
    lines.extend(statuses.iter().map(|migration| {
        let status = &migration.status;
        format!(
            "{:width$}  {:<4}  {:<10}  {:<6}  {:<8}  {}",
            migration.name,
            mode(status),
            status.configured_mode,
            if status.synced { "yes" } else { "no" },
            status.in_doubt,
            status.queued
        )
    }));
    lines.join("\n")
}

fn mode(status: &MigrationStatus) -> String {
    match status.changing_to {
        Some(to) => format!("{}→{to}", status.mode),
        None => status.mode.to_string(),
    }
}

fn paragraph(migration: &Migration) -> String {
    let status = &migration.status;
    let mut lines = vec![
        format!("name        {}", migration.name),
        format!("mode        {}", mode(status)),
        format!("configured  {}", status.configured_mode),
        format!("truth       {}", status.authority),
        format!("synced      {}", synced(status)),
        format!(
            "in doubt    {}, the oldest for {} ms",
            status.in_doubt, status.oldest_in_doubt_ms
        ),
        format!("queued      {}", status.queued),
    ];
    lines.extend(status.gates.iter().map(|gate| match &gate.how {
        None => format!("to mode {}   open", gate.mode),
        Some(how) => format!("to mode {}   shut: {how}", gate.mode),
    }));
    lines.join("\n")
}

fn synced(status: &MigrationStatus) -> String {
    let at = status.synced_at.as_deref().unwrap_or("never");
    match (status.synced, &status.dirty, status.compared) {
        (true, _, _) => format!("yes, at {at}"),
        (false, _, Some(compared)) => format!("no, {compared} objects compared so far"),
        (false, Some(why), None) => format!("no, last {at}: {why}"),
        (false, None, None) => format!("no, last {at}"),
    }
}
