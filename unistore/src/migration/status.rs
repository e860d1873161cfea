use dualwriter::{Gate, Kind, KindStatus, Refusal};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::work::Work;

/// A kind on its way: what `unistore migrate status` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Migration {
    /// `<resource>.<group>`.
    pub(crate) name: String,
    /// How it stands.
    #[serde(flatten)]
    pub(crate) status: MigrationStatus,
}

impl From<KindStatus> for Migration {
    fn from(status: KindStatus) -> Self {
        let kind = Kind::new(status.group.as_str(), status.resource.as_str());
        Self {
            name: kind.to_string(),
            status: status.into(),
        }
    }
}

/// How a kind stands: the `status` of its object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MigrationStatus {
    /// The mode in force.
    pub(crate) mode: u8,
    /// The mode that the configuration asks for.
    pub(crate) configured_mode: u8,
    /// The mode that a change in progress leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) changing_to: Option<u8>,
    /// Rises with each step of each change of mode.
    pub(crate) epoch: u64,
    /// The store that a sync takes as the truth.
    pub(crate) authority: String,
    /// A sync was completed in this epoch and nothing failed since.
    pub(crate) synced: bool,
    /// When the last one was completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) synced_at: Option<String>,
    /// Why the mark of a completed sync was cleared last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dirty: Option<String>,
    /// Objects that a sync in progress, or one that was cut off, has compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) compared: Option<u64>,
    /// Writes that are begun and not finished.
    pub(crate) in_doubt: u64,
    /// The age of the oldest of them.
    pub(crate) oldest_in_doubt_ms: u64,
    /// Objects that mode 1 has left to the background of this process.
    pub(crate) queued: u64,
    /// The ways to the other modes.
    pub(crate) gates: Vec<GateStatus>,
    /// The last sync or comparison that this process was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) work: Option<Work>,
    /// The same in the form that clients wait for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) conditions: Vec<Condition>,
}

/// Whether the way to a mode is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GateStatus {
    /// The mode.
    pub(crate) mode: u8,
    /// A request for it would go through.
    pub(crate) open: bool,
    /// The gate that is shut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gate: Option<String>,
    /// What opens it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) how: Option<String>,
}

impl From<KindStatus> for MigrationStatus {
    fn from(status: KindStatus) -> Self {
        let synced_at = i64::try_from(status.sync.complete_at_ms)
            .ok()
            .filter(|at_ms| *at_ms > 0)
            .and_then(|at_ms| Timestamp::from_second(at_ms / 1000).ok());
        let gates = status.gates.into_iter();
        Self {
            mode: status.mode,
            configured_mode: status.desired,
            changing_to: status.changing_to,
            epoch: status.epoch,
            authority: status.authority,
            synced: status.sync.complete,
            synced_at: synced_at.map(|at| at.to_string()),
            dirty: status.sync.cleared,
            compared: status.sync.compared,
            in_doubt: status.intents,
            oldest_in_doubt_ms: status.oldest_intent_ms,
            queued: status.queued,
            gates: gates
                .map(|(mode, refusal)| GateStatus::new(mode, refusal))
                .collect(),
            work: None,
            conditions: Vec::new(),
        }
    }
}

impl GateStatus {
    fn new(mode: u8, refusal: Option<Refusal>) -> Self {
        Self {
            mode,
            open: refusal.is_none(),
            gate: refusal
                .as_ref()
                .map(|refusal| name(refusal.gate).to_owned()),
            how: refusal.map(|refusal| refusal.how),
        }
    }
}

/// A change of mode that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    /// The mode in force.
    pub(crate) from: u8,
    /// The mode that was asked for.
    pub(crate) to: u8,
    /// The gate that is shut.
    pub(crate) gate: String,
    /// What opens it.
    pub(crate) how: String,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            from: refusal.from,
            to: refusal.to,
            gate: name(refusal.gate).to_owned(),
            how: refusal.how,
        }
    }
}

/// The name of a gate.
const fn name(gate: Gate) -> &'static str {
    match gate {
        Gate::Sync => "sync",
        Gate::ReverseSync => "reverseSync",
        Gate::Configuration => "configuration",
    }
}
