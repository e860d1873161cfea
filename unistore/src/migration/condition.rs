use serde::{Deserialize, Serialize};

use super::status::MigrationStatus;
use super::wire_time;

/// A condition, in the form that Kubernetes clients know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: String,
    message: String,
    last_transition_time: String,
}

/// Returns the conditions of a status; those that are as before keep their time.
pub(super) fn all(status: &MigrationStatus, before: &[Condition]) -> Vec<Condition> {
    let mut all = vec![
        synced(status),
        settled(status),
        changing(status),
        configured(status),
    ];
    for condition in &mut all {
        let known = before.iter().find(|known| known.kind == condition.kind);
        condition.last_transition_time = match known {
            Some(known) if known.status == condition.status => known.last_transition_time.clone(),
            Some(_) | None => wire_time(),
        };
    }
    all
}

fn condition(kind: &str, holds: bool, reason: &str, message: String) -> Condition {
    Condition {
        kind: kind.to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: String::new(),
    }
}

fn synced(status: &MigrationStatus) -> Condition {
    match &status.dirty {
        _ if status.synced => {
            let message = "both stores were equal, and nothing failed since".to_owned();
            condition("Synced", true, "Complete", message)
        }
        Some(why) => condition("Synced", false, "Dirty", why.clone()),
        None => {
            let message = "no sync was completed in this mode".to_owned();
            condition("Synced", false, "Incomplete", message)
        }
    }
}

fn settled(status: &MigrationStatus) -> Condition {
    let message = format!("{} writes are begun and not finished", status.in_doubt);
    match status.in_doubt {
        0 => condition("Settled", true, "NothingInDoubt", message),
        _ => condition("Settled", false, "WritesInDoubt", message),
    }
}

fn changing(status: &MigrationStatus) -> Condition {
    match status.changing_to {
        Some(to) => {
            let message = format!("from mode {} to mode {to}; writes wait", status.mode);
            condition("Changing", true, "ChangeInProgress", message)
        }
        None => condition("Changing", false, "Steady", String::new()),
    }
}

fn configured(status: &MigrationStatus) -> Condition {
    let (mode, configured) = (status.mode, status.configured_mode);
    if mode == configured {
        return condition("Configured", true, "AsConfigured", String::new());
    }
    let gate = status.gates.iter().find(|gate| gate.mode == configured);
    let how = if configured < mode {
        "the stored mode is the truth, a configuration does not lower it"
    } else {
        let shut = gate.and_then(|gate| gate.how.as_deref());
        shut.unwrap_or("the next start changes to it")
    };
    let message = format!("the configuration asks for mode {configured}: {how}");
    condition("Configured", false, "OtherModeInForce", message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    fn message(mode: u8, configured: u8, gates: &Value) -> String {
        let status = json!({
            "mode": mode, "configuredMode": configured, "epoch": 1, "authority": "legacy",
            "synced": false, "inDoubt": 0, "oldestInDoubtMs": 0, "queued": 0, "gates": gates,
        });
        super::configured(&serde_json::from_value(status).unwrap()).message
    }

    /// A mode above the one in force was told to be one that is not lowered to.
    #[test]
    fn another_configured_mode_is_told_with_what_comes_of_it() {
        let open = json!([{"mode": 1, "open": true}]);
        let shut = json!([{"mode": 3, "open": false, "gate": "sync", "how": "complete a sync"}]);
        for (mode, configured, gates, ending) in [
            (0, 1, &open, "mode 1: the next start changes to it"),
            (2, 3, &shut, "mode 3: complete a sync"),
            (
                2,
                1,
                &open,
                "mode 1: the stored mode is the truth, a configuration does not lower it",
            ),
            (
                4,
                3,
                &shut,
                "mode 3: the stored mode is the truth, a configuration does not lower it",
            ),
        ] {
            let told = message(mode, configured, gates);
            assert_eq!(told, format!("the configuration asks for {ending}"));
        }
        assert_eq!(message(1, 1, &open), "");
    }
}
