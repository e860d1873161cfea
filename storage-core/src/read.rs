use bytes::Bytes;

use crate::limits::{PAGE_BYTES_MAX, PAGE_ITEMS_MAX};
use crate::{ChangeKind, Error, OperationId, ResourceKey, Result, Revision, Scope, Timestamp};

/// One revision of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The object.
    pub key: ResourceKey,
    /// What the write of this revision did.
    pub kind: ChangeKind,
    /// The revision of the write.
    pub revision: Revision,
    /// The revision that created this life of the object: equal for all revisions from a creation
    /// to the next deletion, and different after the object is created again.
    pub created: Revision,
    /// The value; the deletion record for [`ChangeKind::Deleted`].
    pub value: Bytes,
    /// When it was committed, or the time that the transaction gave.
    pub time: Timestamp,
    /// The request that it came from.
    pub operation: OperationId,
}

/// Which records a list reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Source {
    /// The objects that exist, at one revision.
    #[default]
    Live,
    /// Every revision that is kept, deletions included, of live and deleted objects.
    History,
    /// The deletion record of each deleted object that was not created again and is still kept.
    Trash,
}

/// The order of an object's revisions in a history list. Keys always ascend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// Oldest revision first.
    #[default]
    Ascending,
    /// Newest revision first.
    Descending,
}

/// Asks for one page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// The keys to look at.
    pub scope: Scope,
    /// The records to read.
    pub source: Source,
    /// For [`Source::Live`]: read the objects as of this revision; the newest when absent.
    /// Refused for other sources and together with a cursor, which carries its own revision.
    pub at: Option<Revision>,
    /// For [`Source::History`]: the order of each object's revisions.
    pub order: Order,
    /// Most items on the page; [`PAGE_ITEMS_MAX`] when absent or larger. Zero is refused.
    pub limit: Option<usize>,
    /// Value bytes after which the page ends; [`PAGE_BYTES_MAX`] when absent or larger.
    pub limit_bytes: Option<usize>,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
}

impl ListQuery {
    /// Asks for the first page of the objects that exist.
    #[must_use]
    pub const fn live(scope: Scope) -> Self {
        Self {
            scope,
            source: Source::Live,
            at: None,
            order: Order::Ascending,
            limit: None,
            limit_bytes: None,
            cursor: None,
        }
    }

    /// Asks for the first page of the history.
    #[must_use]
    pub fn history(scope: Scope, order: Order) -> Self {
        Self {
            source: Source::History,
            order,
            ..Self::live(scope)
        }
    }

    /// Asks for the first page of the trash.
    #[must_use]
    pub fn trash(scope: Scope) -> Self {
        Self {
            source: Source::Trash,
            ..Self::live(scope)
        }
    }

    /// Reads as of a revision.
    #[must_use]
    pub const fn at(mut self, revision: Revision) -> Self {
        self.at = Some(revision);
        self
    }

    /// Limits the items on the page.
    #[must_use]
    pub const fn limit(mut self, items: usize) -> Self {
        self.limit = Some(items);
        self
    }

    /// Continues where a page ended.
    #[must_use]
    pub fn after(mut self, cursor: Cursor) -> Self {
        self.at = None;
        self.cursor = Some(cursor);
        self
    }

    /// Returns the number of items after which the page ends.
    #[must_use]
    pub fn items_max(&self) -> usize {
        self.limit.unwrap_or(PAGE_ITEMS_MAX).min(PAGE_ITEMS_MAX)
    }

    /// Returns the value bytes after which the page ends.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.limit_bytes
            .unwrap_or(PAGE_BYTES_MAX)
            .min(PAGE_BYTES_MAX)
    }

    /// Checks what can be checked without a store. Backends call it first.
    ///
    /// # Errors
    /// `Invalid`: a malformed scope, a limit of zero, `at` with a cursor or without
    /// [`Source::Live`], a cursor of another source, order or scope, history or trash of the
    /// internal group, or an old revision of it (it has none).
    pub fn validate(&self) -> Result<()> {
        self.scope.validate()?;
        let refuse = |why: &str| Err(Error::invalid("list", why));
        if self.limit == Some(0) || self.limit_bytes == Some(0) {
            return refuse("a limit must be at least 1");
        }
        if self.at.is_some() && self.cursor.is_some() {
            return refuse("a revision cannot be given together with a cursor");
        }
        if self.at.is_some() && self.source != Source::Live {
            return refuse("only live objects can be listed at a revision");
        }
        if self.scope.is_internal() && (self.source != Source::Live || self.at.is_some()) {
            return refuse("the internal group has current records only");
        }
        match &self.cursor {
            Some(c) if c.source != self.source => refuse("the cursor is of another list source"),
            Some(c) if c.order != self.order => refuse("the cursor is of another order"),
            Some(c) if !self.scope.contains(&c.key) => refuse("the cursor is of another scope"),
            _ => Ok(()),
        }
    }
}

/// Where a page ended. Pages that follow it are read at `revision`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The list source that it belongs to.
    pub source: Source,
    /// The order that it belongs to.
    pub order: Order,
    /// The revision of the first page, at which every page is read.
    pub revision: Revision,
    /// The key of the last item. The next page starts after it, or in it for a history list.
    pub key: ResourceKey,
    /// The revision of the last item.
    pub item: Revision,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The items, in key order.
    pub items: Vec<Stored>,
    /// The revision at which this page was read: the same on every page of one list. Changes
    /// after it continue where a live list ends.
    pub revision: Revision,
    /// Where the next page starts; absent on the last page.
    pub next: Option<Cursor>,
}
