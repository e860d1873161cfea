use storage_core::{
    Cursor, Error, ListQuery, Order, Revision, Scope, Source, StorageBackend, Stored,
};

use super::list_parameters::At;
use super::shown;
use crate::limits::SCAN_PAGE_ITEMS_MAX;
use crate::selector::{Records, Selection};
use crate::{Collection, Failure, Object, Result};

/// What a list reads from the store, and where it is.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) collection: Collection,
    pub(super) selection: Selection,
    pub(super) query: ListQuery,
    pub(super) limit: Option<PageLimit>,
    pub(super) span: Span,
}

/// Where a page ends: with the item that reaches a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageLimit {
    pub(super) items: usize,
    pub(super) bytes: usize,
}

/// Which versions a history shows; for other records all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    All,
    /// Those of the object's newest life, which is not known yet.
    NewestLife,
    /// Those of the life that this revision began.
    Life(Revision),
    /// This one.
    Exactly(Revision),
}

/// Objects, the state they were read at, and where to go on.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) items: Vec<Object>,
    pub(super) revision: Revision,
    pub(super) next: Option<Cursor>,
}

/// Why a scan ended. What an expired state means, its caller knows.
#[derive(Debug)]
pub(super) enum ScanFailure {
    Store(Error),
    Other(Failure),
}

impl From<Error> for ScanFailure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for ScanFailure {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

impl From<ScanFailure> for Failure {
    fn from(failure: ScanFailure) -> Self {
        match failure {
            ScanFailure::Store(error) => error.into(),
            ScanFailure::Other(failure) => failure,
        }
    }
}

impl Scan {
    /// Prepares to read records at a state. `head` is the newest one.
    pub(super) fn new(
        collection: &Collection,
        selection: Selection,
        records: &Records,
        at: At,
        head: Revision,
    ) -> Result<Self> {
        let mut scan = Self {
            query: ListQuery::live(narrowed(collection, &selection)),
            collection: collection.clone(),
            selection,
            limit: None,
            span: Span::All,
        };
        match records {
            Records::Trash => scan.query.source = Source::Trash,
            Records::History(name) => scan.read_history(name, at, head)?,
            Records::Live => {
                if let At::Exactly(revision) = at {
                    scan.query.at = Some(revision);
                }
            }
        }
        Ok(scan)
    }

    fn read_history(&mut self, name: &str, at: At, head: Revision) -> Result<()> {
        let target = self.collection.object(name)?;
        let scope = Scope::Object(target.key().clone());
        let (order, from) = match at {
            At::Newest => (Order::Descending, None),
            At::NotOlderThan(from) | At::Exactly(from) => (Order::Ascending, Some(from)),
        };
        self.query = ListQuery::history(scope, order);
        self.span = match at {
            At::Newest => Span::NewestLife,
            At::NotOlderThan(_) => Span::All,
            At::Exactly(revision) => Span::Exactly(revision),
        };
        if let Some(from) = from {
            self.query.cursor = Some(Cursor {
                source: Source::History,
                order,
                revision: head,
                key: target.key().clone(),
                item: Revision::new(from.get().saturating_sub(1)),
            });
        }
        Ok(())
    }

    /// Goes on with a history of all lives. A continue request has no version to choose the order
    /// by, but only a history of one life has a life in its token.
    pub(super) fn follow_all_lives(&mut self) {
        if self.query.source == Source::History {
            self.query.order = Order::Ascending;
            self.span = Span::All;
        }
    }

    /// Reads pages of the store until enough objects are found.
    pub(super) async fn run(&mut self, backend: &dyn StorageBackend) -> Result<Found, ScanFailure> {
        let mut items = Vec::new();
        let mut bytes = 0;
        loop {
            self.query.limit = self.page_limit(items.len());
            self.query.limit_bytes = self.limit.map(|limit| limit.bytes);
            let page = backend.list(&self.query).await?;
            let revision = page.revision;
            let end = |items| Found {
                items,
                revision,
                next: None,
            };
            let mut stored = page.items.into_iter();
            while let Some(item) = stored.next() {
                if !self.spans(&item) {
                    return Ok(end(items));
                }
                let object = shown(self.collection.kind(), item)?;
                if self.selection.matches(&object)? {
                    bytes += object.json_len();
                    items.push(object);
                }
                let reached = |limit: PageLimit| items.len() >= limit.items || bytes >= limit.bytes;
                if self.limit.is_some_and(reached) {
                    let more = stored.len() > 0 || page.next.is_some();
                    let last = items.last().filter(|_| more);
                    let next = last.map(|last| self.cursor_at(last, revision));
                    return Ok(Found { next, ..end(items) });
                }
            }
            match page.next {
                Some(cursor) => self.query = self.query.clone().after(cursor),
                None => return Ok(end(items)),
            }
        }
    }

    /// A page holds what is still wanted if everything matches, and otherwise enough to make
    /// progress.
    fn page_limit(&self, found: usize) -> Option<usize> {
        if self.selection.is_everything() && self.span == Span::All {
            self.limit.map(|limit| limit.items - found)
        } else {
            Some(SCAN_PAGE_ITEMS_MAX)
        }
    }

    /// Tells whether a version is shown. Versions of one life follow each other, so the first one
    /// that is not shown ends the list.
    fn spans(&mut self, item: &Stored) -> bool {
        match self.span {
            Span::All => true,
            Span::NewestLife => {
                self.span = Span::Life(item.created);
                true
            }
            Span::Life(life) => item.created == life,
            Span::Exactly(revision) => item.revision == revision,
        }
    }

    fn cursor_at(&self, item: &Object, revision: Revision) -> Cursor {
        Cursor {
            source: self.query.source,
            order: self.query.order,
            revision,
            key: item.key().clone(),
            item: item.revision(),
        }
    }
}

/// The keys to look at: one, if the selectors name it.
fn narrowed(collection: &Collection, selection: &Selection) -> Scope {
    match selection.name() {
        Some(name) if collection.is_one_place() && !name.is_empty() => {
            let target = collection.object(name);
            // A name that no object can have selects nothing; the collection says so.
            target.map_or_else(
                |_| collection.scope(),
                |target| Scope::Object(target.key().clone()),
            )
        }
        _ => collection.scope(),
    }
}
