use std::time::Duration;

use crate::Revision;
use crate::limits::COMPACT_STEP_MAX;

/// How much of the past a store keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Changes younger than this are kept, whatever `changes_max` says.
    pub changes_age_min: Duration,
    /// Changes older than this are dropped; kept for ever when absent.
    pub changes_age_max: Option<Duration>,
    /// About how many changes are kept; as many as the ages allow when absent.
    pub changes_max: Option<u64>,
    /// How many revisions of each object are kept, the newest included; all when absent. Revisions
    /// that a read at a revision that is still kept can reach are kept beyond this number. An
    /// object is trimmed when a change of it leaves the log: a lower number does not reach objects
    /// whose changes are gone until they change again.
    pub history_per_object: Option<usize>,
    /// Deleted objects leave trash and history after this time; never when absent.
    pub trash_age_max: Option<Duration>,
    /// Most records that one step looks at; [`COMPACT_STEP_MAX`] at most.
    pub step_max: usize,
}

impl Default for Retention {
    /// Returns the default: changes for 5 minutes to 1 hour and at most 1,000,000, 20 revisions per
    /// object, trash for 30 days.
    fn default() -> Self {
        Self {
            changes_age_min: Duration::from_secs(5 * 60),
            changes_age_max: Some(Duration::from_secs(60 * 60)),
            changes_max: Some(1_000_000),
            history_per_object: Some(20),
            trash_age_max: Some(Duration::from_secs(30 * 24 * 60 * 60)),
            step_max: COMPACT_STEP_MAX,
        }
    }
}

/// What one step of compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Reads at a lower revision and changes after a lower revision are `Expired`.
    pub horizon: Revision,
    /// Change records removed.
    pub changes: u64,
    /// History records removed.
    pub history: u64,
    /// Deleted objects removed from the trash.
    pub trash: u64,
    /// More is left to do by the same policy: call again.
    pub more: bool,
}
