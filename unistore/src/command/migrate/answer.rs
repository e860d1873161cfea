use anyhow::Result;
use dualwriter::{Kind, Repair, Transition};
use serde::Serialize;
use serde_json::json;

use crate::cli::Output;
use crate::migration::{Differing, Migration, MigrationStatus, Refused, Synced, Verified};
use crate::say::say;

/// Tells what was found or done, on standard output.
pub(super) struct Answer(Output);

impl Answer {
    pub(super) const fn new(output: Output) -> Self {
        Self(output)
    }

    /// Writes text for people, or else a value for programs.
    fn say(&self, text: impl FnOnce() -> String, value: &impl Serialize) -> Result<()> {
        match self.0 {
            Output::Text => say(text()),
            Output::Json => say(serde_json::to_string_pretty(value)?),
        }
    }

    pub(super) fn statuses(&self, statuses: &[Migration]) -> Result<()> {
        self.say(|| table(statuses), &statuses)
    }

    pub(super) fn status(&self, status: &Migration) -> Result<()> {
        self.say(|| paragraph(status), status)
    }

    pub(super) fn synced(&self, kind: &Kind, done: &Synced) -> Result<()> {
        let text = || {
            let Synced {
                direction,
                passes,
                compared,
                repaired,
                failed,
                complete,
            } = done;
            let passes = match passes {
                1 => "1 pass".to_owned(),
                passes => format!("{passes} passes"),
            };
            let end = if *complete {
                "both stores are equal".to_owned()
            } else {
                format!(
                    "{failed} could not be settled: run it again; `unistore migrate verify` names them"
                )
            };
            format!(
                "{kind}, {direction}: compared {compared} objects in {passes}, repaired {repaired}; {end}"
            )
        };
        self.say(text, done)
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

    pub(super) fn refused(&self, kind: &Kind, refused: &Refused) -> Result<()> {
        let Refused {
            from,
            to,
            gate,
            how,
        } = refused;
        let text =
            || format!("{kind}: mode {from} to {to} is refused, the {gate} gate is shut: {how}");
        self.say(text, &json!({"name": kind.to_string(), "refused": refused}))
    }

    /// Prints a difference as soon as it is known; for programs they come together.
    pub(super) fn differing(&self, differing: &Differing, repair: Repair) -> Result<()> {
        match self.0 {
            Output::Text => say(sentence(differing, repair)),
            Output::Json => Ok(()),
        }
    }

    pub(super) fn verified(&self, kind: &Kind, found: &Verified) -> Result<()> {
        let text = || {
            let Verified {
                compared,
                differing,
                repaired,
                ..
            } = found;
            format!(
                "{kind}: compared {compared} objects, {differing} differ, {repaired} of them are repaired"
            )
        };
        self.say(text, found)
    }
}

fn sentence(differing: &Differing, repair: Repair) -> String {
    let what = match differing.what.as_str() {
        "missingInLegacy" => "is missing in legacy".to_owned(),
        "missingInUnified" => "is missing in unified".to_owned(),
        "origin" => "was written at another time or by another request".to_owned(),
        _ if differing.paths.is_empty() => "has two values".to_owned(),
        _ => format!("differs in {}", differing.paths.join(", ")),
    };
    let repaired = match (differing.repaired, repair) {
        (true, _) => ", repaired",
        (false, Repair::Yes) => ", not repaired",
        (false, Repair::No) => "",
    };
    format!("{} {what}{repaired}", differing.key)
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
        (false, None, Some(compared)) => format!("no, {compared} objects compared so far"),
        (false, Some(why), Some(compared)) => {
            format!("no, {compared} objects compared so far; before that: {why}")
        }
        (false, Some(why), None) => format!("no, last {at}: {why}"),
        (false, None, None) => format!("no, last {at}"),
    }
}
