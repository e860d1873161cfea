use std::sync::Arc;

use bytes::Bytes;

use crate::limits::{CHANGES_BYTES_MAX, CHANGES_MAX};
use crate::{Error, Result, Revision, Scope, Stored};

/// One change of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The revision that the change made; the deletion record for a deletion.
    pub object: Stored,
    /// The value before the change, absent for a creation.
    pub previous: Option<Previous>,
}

/// The state of an object before a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Its revision.
    pub revision: Revision,
    /// Its value.
    pub value: Bytes,
}

/// Asks for the changes after a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangesQuery {
    /// The keys to look at. The internal group has no changes.
    pub scope: Scope,
    /// Changes with a higher revision are wanted.
    pub after: Revision,
    /// About how many; [`CHANGES_MAX`] when absent or larger. Zero is refused.
    pub limit: Option<usize>,
    /// Value bytes after which the answer ends; [`CHANGES_BYTES_MAX`] when absent or larger.
    pub limit_bytes: Option<usize>,
}

impl ChangesQuery {
    /// Asks for the changes after a revision.
    #[must_use]
    pub const fn new(scope: Scope, after: Revision) -> Self {
        Self {
            scope,
            after,
            limit: None,
            limit_bytes: None,
        }
    }

    /// Limits the answer.
    #[must_use]
    pub const fn limit(mut self, changes: usize) -> Self {
        self.limit = Some(changes);
        self
    }

    /// Returns the number of changes after which the answer ends at a whole revision.
    #[must_use]
    pub fn changes_max(&self) -> usize {
        self.limit.unwrap_or(CHANGES_MAX).min(CHANGES_MAX)
    }

    /// Returns the value bytes after which the answer ends at a whole revision.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.limit_bytes
            .unwrap_or(CHANGES_BYTES_MAX)
            .min(CHANGES_BYTES_MAX)
    }

    /// Checks what can be checked without a store. Backends call it first.
    ///
    /// # Errors
    /// `Invalid`: a malformed or internal scope, or a limit of zero.
    pub fn validate(&self) -> Result<()> {
        self.scope.validate()?;
        if self.limit == Some(0) || self.limit_bytes == Some(0) {
            return Err(Error::invalid("changes", "a limit must be at least 1"));
        }
        if self.scope.is_internal() {
            return Err(Error::invalid(
                "changes",
                "the internal group has no changes",
            ));
        }
        Ok(())
    }
}

/// Changes in order, whole revisions only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The changes, by revision and then in the order of the transaction's writes.
    pub changes: Vec<Arc<Change>>,
    /// Every change of the scope after the query's `after` and up to here is in `changes`. Never
    /// below `after`; the newest revision when nothing was cut off by a limit.
    pub through: Revision,
}
