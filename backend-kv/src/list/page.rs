use std::ops::{ControlFlow, Range};

use storage_core::{Cursor, ListQuery, Order, Page, Result, Revision, Source, Stored};

use crate::keyspace;
use crate::record::Record;

/// A page that is being filled, in order. It is full when one more item came than it may hold.
pub(super) struct PageBuilder<'q> {
    query: &'q ListQuery,
    page: Page,
    bytes: usize,
    /// The object of the cursor, in which a history page may go on.
    cursor_object: Option<Vec<u8>>,
}

impl<'q> PageBuilder<'q> {
    pub(super) fn new(query: &'q ListQuery, revision: Revision) -> Self {
        let cursor = query.cursor.as_ref();
        Self {
            query,
            page: Page {
                items: Vec::new(),
                revision,
                next: None,
            },
            bytes: 0,
            cursor_object: cursor.map(|c| keyspace::ObjectBytes::new(&c.key).as_bytes().to_vec()),
        }
    }

    /// Adds an item, unless it is later than the list or was on a page before.
    pub(super) fn push(&mut self, object: &[u8], record: Record) -> Result<ControlFlow<()>> {
        if !self.revisions_of(object).contains(&record.revision()) {
            return Ok(ControlFlow::Continue(()));
        }
        if self.is_full() {
            self.page.next = self.page.items.last().map(|last| self.cursor_after(last));
            return Ok(ControlFlow::Break(()));
        }
        let key = keyspace::object(object)?;
        self.bytes += record.value.len();
        self.page.items.push(record.into_stored(key));
        Ok(ControlFlow::Continue(()))
    }

    /// The revisions of an object that this page and those after it show.
    pub(super) fn revisions_of(&self, object: &[u8]) -> Range<Revision> {
        let all = Revision::ZERO..self.revision_end();
        match &self.query.cursor {
            Some(cursor)
                if self.query.source == Source::History
                    && self.cursor_object.as_deref() == Some(object) =>
            {
                match cursor.order {
                    Order::Ascending => cursor.item.next()..all.end,
                    Order::Descending => all.start..cursor.item,
                }
            }
            _ => all,
        }
    }

    /// Control records have no old revisions, so their pages are not bound to one.
    fn revision_end(&self) -> Revision {
        if self.query.scope.is_internal() {
            Revision::MAX
        } else {
            self.page.revision.next()
        }
    }

    pub(super) fn finish(self) -> Page {
        self.page
    }

    fn is_full(&self) -> bool {
        !self.page.items.is_empty()
            && (self.page.items.len() >= self.query.items_max()
                || self.bytes >= self.query.bytes_max())
    }

    fn cursor_after(&self, last: &Stored) -> Cursor {
        Cursor {
            source: self.query.source,
            order: self.query.order,
            revision: self.page.revision,
            key: last.key.clone(),
            item: last.revision,
        }
    }
}
