use std::ops::ControlFlow;

use storage_core::{ListQuery, Order, Revision};

use super::PageFiller;
use crate::store::failure::Attempt;
use crate::store::key::{self, KeyRange};
use crate::store::record::bytes;
use crate::store::session::{Param, Session};
use crate::store::state::param;
use crate::store::statements::Statements;

/// How many objects are ordered newest first at a time. The index is oldest first, so only the
/// histories of these are sorted.
const OBJECTS_SORTED_MAX: usize = 100;

/// Fills a page with the revisions of the objects of a scope, up to a revision.
pub(super) async fn fill<S: Session>(
    session: &mut S,
    statements: &Statements,
    query: &ListQuery,
    until: Revision,
    page: &mut PageFiller<'_>,
) -> Attempt<()> {
    let mut reader = Reader {
        session,
        statements,
        order: query.order,
        until,
    };
    let mut range = KeyRange::of(&query.scope);
    if let Some(cursor) = &query.cursor {
        let stored_key = key::encode(&cursor.key);
        reader.rest_of(&stored_key, cursor.item, page).await?;
        range = range.after(&stored_key);
    }
    while !page.is_done() {
        match reader.objects(&range, page).await? {
            Some(last) => range = range.after(&last),
            None => return Ok(()),
        }
    }
    Ok(())
}

struct Reader<'a, S> {
    session: &'a mut S,
    statements: &'a Statements,
    order: Order,
    until: Revision,
}

impl<S: Session> Reader<'_, S> {
    /// Reads the revisions of one object that come after `item`.
    async fn rest_of(
        &mut self,
        stored_key: &[u8],
        mut item: Revision,
        page: &mut PageFiller<'_>,
    ) -> Attempt<()> {
        loop {
            let limit = page.rows_wanted();
            let (sql, above, up_to) = match self.order {
                Order::Ascending => (&self.statements.history_of, item, self.until),
                Order::Descending => {
                    let older = Revision::new(item.get().saturating_sub(1)).min(self.until);
                    let sql = &self.statements.history_of_newest_first;
                    (sql, Revision::ZERO, older)
                }
            };
            let params = vec![Param::Bytes(stored_key), param(above), param(up_to)];
            let rows = page.take(self.session, sql, params, limit).await?;
            match page.last() {
                Some(last) if rows == limit && !page.is_done() => item = last.revision,
                _ => return Ok(()),
            }
        }
    }

    /// Reads whole objects from the start of a range; returns the last one, none at the end.
    async fn objects(
        &mut self,
        range: &KeyRange,
        page: &mut PageFiller<'_>,
    ) -> Attempt<Option<Vec<u8>>> {
        let (sql, range, mut last) = match self.order {
            Order::Ascending => (&self.statements.history, range.clone(), None),
            Order::Descending => {
                let Some(last) = self.some_keys(range).await? else {
                    return Ok(None);
                };
                let sql = &self.statements.history_newest_first;
                (sql, range.through(&last), Some(last))
            }
        };
        let limit = page.rows_wanted();
        let params = vec![
            Param::Bytes(&range.first),
            Param::Bytes(&range.end),
            param(self.until),
        ];
        let rows = page.take(self.session, sql, params, limit).await?;
        if rows == limit && !page.is_done() {
            let Some((stored_key, item)) = page
                .last()
                .map(|item| (key::encode(&item.key), item.revision))
            else {
                return Ok(None);
            };
            self.rest_of(&stored_key, item, page).await?;
            last = Some(stored_key);
        }
        Ok(last)
    }

    /// Returns the last of the next few objects that have a history.
    async fn some_keys(&mut self, range: &KeyRange) -> Attempt<Option<Vec<u8>>> {
        let mut last = None;
        let params = [
            Param::Bytes(&range.first),
            Param::Bytes(&range.end),
            Param::Int(OBJECTS_SORTED_MAX as i64),
        ];
        self.session
            .query(&self.statements.history_keys, &params, &mut |row| {
                last = Some(bytes(row, 0)?.to_vec());
                Ok(ControlFlow::Continue(()))
            })
            .await?;
        Ok(last)
    }
}
