mod at_revision;
mod history;

use std::ops::ControlFlow;

use storage_core::{Cursor, ListQuery, Page, Revision, Source, Stored};

use super::failure::Attempt;
use super::key::{self, KeyRange};
use super::record::stored;
use super::session::{Param, Session, Sql};
use super::state::param;
use super::statements::Statements;

/// Most rows of one statement of a list. A list of large values stops early without having asked
/// for all of them.
const STATEMENT_ROWS_MAX: usize = 1000;

/// Reads one page.
#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(crate) query: ListQuery,
}

impl List {
    /// Runs it. The page and its revision are of one snapshot.
    pub(crate) async fn run<S: Session>(
        &self,
        session: &mut S,
        statements: &Statements,
    ) -> Attempt<Page> {
        let query = &self.query;
        let state = session.begin_snapshot(&statements.state).await?;
        let cursor = query.cursor.as_ref();
        let wanted = cursor.map(|cursor| cursor.revision).or(query.at);
        let revision = wanted.unwrap_or(state.head);
        state.not_in_the_future("list", revision)?;
        let mut page = PageFiller::new(query, revision);
        let range = rest_of_scope(query);
        if query.scope.is_internal() {
            fill(session, &statements.list_control, range, &[], &mut page).await?;
        } else {
            match query.source {
                Source::Live => {
                    state.not_expired("list", revision)?;
                    if revision == state.head {
                        fill(session, &statements.list, range, &[], &mut page).await?;
                    } else {
                        at_revision::fill(session, statements, range, revision, &mut page).await?;
                    }
                }
                Source::History => {
                    history::fill(session, statements, query, revision, &mut page).await?;
                }
                Source::Trash => {
                    let until = [param(revision)];
                    fill(session, &statements.trash, range, &until, &mut page).await?;
                }
            }
        }
        session.end().await?;
        Ok(page.finish())
    }
}

/// Returns the keys of the scope that follow the page before.
fn rest_of_scope(query: &ListQuery) -> KeyRange {
    let range = KeyRange::of(&query.scope);
    match &query.cursor {
        Some(cursor) => range.after(&key::encode(&cursor.key)),
        None => range,
    }
}

/// Fills a page from a statement that returns one record per key of a range, in key order.
async fn fill<S: Session>(
    session: &mut S,
    sql: &Sql,
    mut range: KeyRange,
    filter: &[Param<'_>],
    page: &mut PageFiller<'_>,
) -> Attempt<()> {
    loop {
        let limit = page.rows_wanted();
        let mut params = vec![Param::Bytes(&range.first), Param::Bytes(&range.end)];
        params.extend_from_slice(filter);
        let rows = page.take(session, sql, params, limit).await?;
        if page.is_done() || rows < limit {
            return Ok(());
        }
        let Some(last) = page.last() else {
            return Ok(());
        };
        range = range.after(&key::encode(&last.key));
    }
}

/// A page that is being filled.
struct PageFiller<'a> {
    query: &'a ListQuery,
    revision: Revision,
    items: Vec<Stored>,
    bytes: usize,
    more: bool,
}

impl<'a> PageFiller<'a> {
    const fn new(query: &'a ListQuery, revision: Revision) -> Self {
        Self {
            query,
            revision,
            items: Vec::new(),
            bytes: 0,
            more: false,
        }
    }

    /// Takes the rows of a statement whose last parameter is the limit; returns how many there
    /// were.
    async fn take<S: Session>(
        &mut self,
        session: &mut S,
        sql: &Sql,
        mut params: Vec<Param<'_>>,
        limit: usize,
    ) -> Attempt<usize> {
        params.push(Param::Int(limit as i64));
        let mut rows = 0;
        session
            .query(sql, &params, &mut |row| {
                rows += 1;
                Ok(self.push(stored(row)?))
            })
            .await?;
        Ok(rows)
    }

    /// Takes the next item; breaks when it is known that one follows the page.
    fn push(&mut self, item: Stored) -> ControlFlow<()> {
        if self.is_full() {
            self.more = true;
            return ControlFlow::Break(());
        }
        self.bytes += item.value.len();
        self.items.push(item);
        ControlFlow::Continue(())
    }

    fn is_full(&self) -> bool {
        self.items.len() >= self.query.items_max() || self.bytes >= self.query.bytes_max()
    }

    /// Tells whether nothing more has to be read.
    const fn is_done(&self) -> bool {
        self.more
    }

    /// Returns how many rows the next statement should ask for: the page and one to see whether
    /// more follow.
    fn rows_wanted(&self) -> usize {
        let missing = self.query.items_max().saturating_sub(self.items.len());
        (missing + 1).min(STATEMENT_ROWS_MAX)
    }

    /// Returns how many more value bytes fit.
    fn bytes_wanted(&self) -> usize {
        self.query.bytes_max().saturating_sub(self.bytes)
    }

    fn last(&self) -> Option<&Stored> {
        self.items.last()
    }

    fn finish(self) -> Page {
        let next = self.items.last().filter(|_| self.more).map(|last| Cursor {
            source: self.query.source,
            order: self.query.order,
            revision: self.revision,
            key: last.key.clone(),
            item: last.revision,
        });
        Page {
            items: self.items,
            revision: self.revision,
            next,
        }
    }
}
