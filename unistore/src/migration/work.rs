use dualwriter::{Difference, Direction, Progress, SyncReport, Unequal, VerifyReport};
use serde::{Deserialize, Serialize};

/// Differences that an object shows; the rest is counted.
pub(super) const DIFFERENCES_SHOWN_MAX: usize = 100;
/// Differences that an answer of the command lists; the rest is counted.
pub(crate) const DIFFERENCES_LISTED_MAX: usize = 10_000;

/// A sync or a comparison that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Work {
    /// What it is.
    pub(crate) task: Task,
    /// The text by which it was asked for.
    pub(crate) request: String,
    /// How it stands.
    pub(crate) state: WorkState,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    /// The pass over both stores, counted from one.
    pub(crate) pass: u32,
    /// Objects compared in this pass; over all passes at the end.
    pub(crate) compared: u64,
    /// About how many objects there are.
    pub(crate) total: u64,
    /// Objects copied or deleted.
    pub(crate) repaired: u64,
    /// Objects that could not be settled, or differ.
    pub(crate) left: u64,
    /// What a sync did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) synced: Option<Synced>,
    /// What a comparison found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) verified: Option<Verified>,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Task {
    /// A sync.
    Sync,
    /// A comparison.
    Verify,
    /// A comparison that repairs.
    Repair,
}

/// How work stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WorkState {
    /// It goes on.
    Running,
    /// It is done, and both stores are equal.
    Complete,
    /// It is done, and something is left.
    Incomplete,
    /// It was broken off by an error.
    Failed,
}

/// What a sync did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Synced {
    /// From which store to which.
    pub(crate) direction: String,
    /// Passes over both stores.
    pub(crate) passes: u32,
    /// Objects compared, over all passes.
    pub(crate) compared: u64,
    /// Objects copied or deleted.
    pub(crate) repaired: u64,
    /// Objects that could not be settled.
    pub(crate) failed: u64,
    /// Both stores are equal: the gate is open.
    pub(crate) complete: bool,
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verified {
    /// Objects compared.
    pub(crate) compared: u64,
    /// Objects that differ.
    pub(crate) differing: u64,
    /// Of these, objects that were repaired.
    pub(crate) repaired: u64,
    /// The first of them.
    pub(crate) differences: Vec<Differing>,
}

/// An object that both stores do not have alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Differing {
    /// The object.
    pub(crate) key: String,
    /// In what they differ.
    pub(crate) what: String,
    /// The JSON paths at which its values differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) paths: Vec<String>,
    /// It was repaired.
    pub(crate) repaired: bool,
}

impl Work {
    pub(super) fn begun(task: Task, request: &str) -> Self {
        Self {
            task,
            request: request.to_owned(),
            state: WorkState::Running,
            message: String::new(),
            pass: 1,
            compared: 0,
            total: 0,
            repaired: 0,
            left: 0,
            synced: None,
            verified: None,
        }
    }

    pub(super) fn at(&self, progress: Progress) -> Self {
        Self {
            pass: progress.pass,
            compared: progress.compared,
            total: progress.total,
            repaired: progress.repaired,
            left: progress.failed,
            ..self.clone()
        }
    }

    pub(super) fn failed(&self, message: String) -> Self {
        Self {
            state: WorkState::Failed,
            message,
            ..self.clone()
        }
    }

    pub(super) fn synced(&self, done: Synced) -> Self {
        Self {
            state: ended(done.complete),
            pass: done.passes,
            compared: done.compared,
            repaired: done.repaired,
            left: done.failed,
            synced: Some(done),
            ..self.clone()
        }
    }

    pub(super) fn verified(&self, found: Verified) -> Self {
        Self {
            state: ended(found.is_equal()),
            compared: found.compared,
            repaired: found.repaired,
            left: found.differing - found.repaired,
            verified: Some(found),
            ..self.clone()
        }
    }
}

const fn ended(equal: bool) -> WorkState {
    if equal {
        WorkState::Complete
    } else {
        WorkState::Incomplete
    }
}

impl From<SyncReport> for Synced {
    fn from(report: SyncReport) -> Self {
        Self {
            direction: match report.direction {
                Direction::Forward => "legacy to unified",
                Direction::Reverse => "unified to legacy",
            }
            .to_owned(),
            passes: report.passes,
            compared: report.compared,
            repaired: report.repaired,
            failed: report.failed,
            complete: report.complete,
        }
    }
}

impl Verified {
    pub(crate) fn new(report: VerifyReport, first: FirstDifferences) -> Self {
        Self {
            compared: report.compared,
            differing: report.differences,
            repaired: report.repaired,
            differences: first.kept,
        }
    }

    /// Tells whether both stores are equal now.
    pub(crate) const fn is_equal(&self) -> bool {
        self.differing == self.repaired
    }
}

/// The first differences that were found.
#[derive(Debug)]
pub(crate) struct FirstDifferences {
    kept: Vec<Differing>,
    kept_max: usize,
}

impl FirstDifferences {
    pub(crate) const fn new(kept_max: usize) -> Self {
        let kept = Vec::new();
        Self { kept, kept_max }
    }

    pub(crate) fn push(&mut self, differing: Differing) {
        if self.kept.len() < self.kept_max {
            self.kept.push(differing);
        }
    }
}

impl From<Difference> for Differing {
    fn from(difference: Difference) -> Self {
        let (what, paths) = match difference.what {
            Unequal::MissingInLegacy => ("missingInLegacy", Vec::new()),
            Unequal::MissingInUnified => ("missingInUnified", Vec::new()),
            Unequal::Value { paths } => ("value", paths),
            Unequal::Origin => ("origin", Vec::new()),
        };
        Self {
            key: difference.key,
            what: what.to_owned(),
            paths,
            repaired: difference.repaired,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_differences_are_counted_and_the_first_are_listed() {
        let mut first = FirstDifferences::new(2);
        for number in 0..5 {
            first.push(Differing {
                key: number.to_string(),
                what: "value".into(),
                paths: vec![],
                repaired: false,
            });
        }
        let report = VerifyReport {
            compared: 9,
            differences: 5,
            repaired: 0,
        };
        let found = Verified::new(report, first);
        let keys: Vec<&str> = found.differences.iter().map(|d| &*d.key).collect();
        assert_eq!((keys, found.differing), (vec!["0", "1"], 5));
    }
}
