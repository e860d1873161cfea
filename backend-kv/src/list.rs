//! Pages. `live` reads the current view, now or as it was at a revision; `history` and `trash` go
//! object by object.

mod deleted;
mod page;
mod rows;

use std::ops::{ControlFlow, Range};

use bytes::Bytes;
use storage_core::{ListQuery, Order, Page, Result, Revision, Source};

use self::deleted::DeletedSince;
use self::page::PageBuilder;
use self::rows::Rows;
use crate::engine::{Direction, KvEngine, KvView};
use crate::get::{newest_in_history, not_expired, not_in_the_future};
use crate::keyspace::{ObjectBytes, ObjectRange, parse_object_row};
use crate::record::Record;
use crate::store::Store;

impl<E: KvEngine> Store<E> {
    pub(crate) fn list(&self, query: &ListQuery) -> Result<Page> {
        query.validate()?;
        let (view, state) = self.view("list")?;
        let head = Revision::new(state.head);
        let cursor = query.cursor.as_ref();
        let revision = cursor.map(|c| c.revision).or(query.at).unwrap_or(head);
        not_in_the_future("list", revision, state)?;
        let page = PageBuilder::new(query, revision);
        let objects = objects_from_cursor(query);
        if query.scope.is_internal() {
            return scan_objects(&view, &objects.internal(), page);
        }
        match query.source {
            Source::Live => {
                not_expired("list", revision, state)?;
                if revision == head {
                    scan_objects(&view, &objects.current(), page)
                } else {
                    live_at(&view, objects, revision, page)
                }
            }
            Source::History => history(&view, &objects, query, page),
            Source::Trash => scan_objects(&view, &objects.trash(), page),
        }
    }
}

/// The objects that this page may show. A history page may go on within the cursor's object.
fn objects_from_cursor(query: &ListQuery) -> ObjectRange {
    let objects = ObjectRange::of(&query.scope);
    match &query.cursor {
        None => objects,
        Some(cursor) => {
            let object = ObjectBytes::new(&cursor.key);
            match query.source {
                Source::Live | Source::Trash => objects.starting_after(object.as_bytes()),
                Source::History => objects.starting_at(&object),
            }
        }
    }
}

/// Fills a page with the rows of one table, as they are.
fn scan_objects(
    view: &impl KvView,
    rows: &Range<Vec<u8>>,
    mut page: PageBuilder<'_>,
) -> Result<Page> {
    view.scan(
        &rows.start..&rows.end,
        Direction::Forward,
        &mut |key, row| {
            let record = Record::unseal(key, &Bytes::copy_from_slice(row))?;
            page.push(parse_object_row(key), record)
        },
    )?;
    Ok(page.finish())
}

/// Fills a page with the objects that existed at an earlier revision: those that exist, by their
/// newest record up to then, and between them those that were deleted since.
fn live_at(
    view: &impl KvView,
    objects: ObjectRange,
    revision: Revision,
    mut page: PageBuilder<'_>,
) -> Result<Page> {
    let current = objects.current();
    let mut deleted = DeletedSince::new(view, objects, revision);
    let mut full = ControlFlow::Continue(());
    view.scan(
        &current.start..&current.end,
        Direction::Forward,
        &mut |key, row| {
            let object = parse_object_row(key);
            while let Some(gone) = deleted.next_before(Some(object))? {
                full = push_as_of(view, &gone, revision, &mut page)?;
                if full.is_break() {
                    return Ok(full);
                }
            }
            let newest = Record::unseal(key, &Bytes::copy_from_slice(row))?;
            full = if newest.revision() <= revision {
                page.push(object, newest)?
            } else {
                push_as_of(view, &ObjectBytes::from_bytes(object), revision, &mut page)?
            };
            Ok(full)
        },
    )?;
    while full.is_continue() {
        let Some(gone) = deleted.next_before(None)? else {
            break;
        };
        full = push_as_of(view, &gone, revision, &mut page)?;
    }
    Ok(page.finish())
}

/// Adds an object, whose newest record is later, as it was at a revision, if it existed then.
fn push_as_of(
    view: &impl KvView,
    object: &ObjectBytes,
    revision: Revision,
    page: &mut PageBuilder<'_>,
) -> Result<ControlFlow<()>> {
    match newest_in_history(view, object, revision)? {
        Some(record) if !record.is_deletion() => page.push(object.as_bytes(), record),
        _ => Ok(ControlFlow::Continue(())),
    }
}

/// Fills a page with all revisions of objects. Every object with history has its newest record in
/// the current view or in the trash, so these two name all objects.
fn history(
    view: &impl KvView,
    objects: &ObjectRange,
    query: &ListQuery,
    mut page: PageBuilder<'_>,
) -> Result<Page> {
    let mut current = Rows::new(view, objects.current());
    let mut trash = Rows::new(view, objects.trash());
    loop {
        let next = match (current.peek()?, trash.peek()?) {
            (Some((c, _)), Some((t, _))) if parse_object_row(c) > parse_object_row(t) => {
                trash.next()?
            }
            (None, _) => trash.next()?,
            (Some(_), _) => current.next()?,
        };
        let Some((key, row)) = next else {
            return Ok(page.finish());
        };
        let newest = Record::unseal(&key, &row)?;
        let object = ObjectBytes::from_bytes(parse_object_row(&key));
        if push_history(view, &object, newest, query.order, &mut page)?.is_break() {
            return Ok(page.finish());
        }
    }
}

fn push_history(
    view: &impl KvView,
    object: &ObjectBytes,
    newest: Record,
    order: Order,
    page: &mut PageBuilder<'_>,
) -> Result<ControlFlow<()>> {
    match order {
        Order::Ascending => {
            if push_replaced(view, object, Direction::Forward, page)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            page.push(object.as_bytes(), newest)
        }
        Order::Descending => {
            if page.push(object.as_bytes(), newest)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            push_replaced(view, object, Direction::Backward, page)
        }
    }
}

/// Adds the revisions of one object that later ones replaced, as far as they belong on this page.
fn push_replaced(
    view: &impl KvView,
    object: &ObjectBytes,
    direction: Direction,
    page: &mut PageBuilder<'_>,
) -> Result<ControlFlow<()>> {
    let range = object.history_range(page.revisions_of(object.as_bytes()));
    let mut full = ControlFlow::Continue(());
    view.scan(&range.start..&range.end, direction, &mut |key, row| {
        let record = Record::unseal(key, &Bytes::copy_from_slice(row))?;
        full = page.push(object.as_bytes(), record)?;
        Ok(full)
    })?;
    Ok(full)
}
