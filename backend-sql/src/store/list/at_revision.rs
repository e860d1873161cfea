use std::collections::BTreeMap;
use std::ops::ControlFlow;

use storage_core::{ChangeKind, Revision, Stored};

use super::{PageFiller, STATEMENT_ROWS_MAX};
use crate::store::failure::Attempt;
use crate::store::key::{self, KeyRange};
use crate::store::record::{bytes, stored};
use crate::store::session::{Param, Row, Session};
use crate::store::state::param;
use crate::store::statements::Statements;

/// How many objects are resolved at a time: bounds what is held beside the page.
const OBJECTS_AT_A_TIME: usize = 64;

/// Fills a page with the objects as they were at an older revision: those of the current view that
/// are not newer, and for those that changed or were deleted since, what the history says.
pub(super) async fn fill<S: Session>(
    session: &mut S,
    statements: &Statements,
    mut range: KeyRange,
    revision: Revision,
    page: &mut PageFiller<'_>,
) -> Attempt<()> {
    loop {
        let stretch = Stretch::read(session, statements, &range, revision, page).await?;
        let candidates: Vec<_> = stretch.candidates.into_iter().collect();
        for some in candidates.chunks(OBJECTS_AT_A_TIME) {
            for item in resolve(session, statements, some, revision).await? {
                if page.push(item).is_break() {
                    return Ok(());
                }
            }
        }
        match stretch.ends_at {
            Some(last) => range = range.after(&last),
            None => return Ok(()),
        }
    }
}

/// The objects between the start of a range and some key of it.
struct Stretch {
    /// By stored key. None: it changed since, the history knows what it was.
    candidates: BTreeMap<Vec<u8>, Option<Stored>>,
    /// The last key that was looked at; none at the end of the range.
    ends_at: Option<Vec<u8>>,
}

impl Stretch {
    async fn read<S: Session>(
        session: &mut S,
        statements: &Statements,
        range: &KeyRange,
        revision: Revision,
        page: &PageFiller<'_>,
    ) -> Attempt<Self> {
        let mut stretch = Self::of_current(session, statements, range, revision, page).await?;
        let range = match &stretch.ends_at {
            Some(last) => range.through(last),
            None => range.clone(),
        };
        stretch
            .add_deleted(session, statements, &range, revision)
            .await?;
        Ok(stretch)
    }

    async fn of_current<S: Session>(
        session: &mut S,
        statements: &Statements,
        range: &KeyRange,
        revision: Revision,
        page: &PageFiller<'_>,
    ) -> Attempt<Self> {
        let limit = page.rows_wanted();
        let bytes_max = page.bytes_wanted();
        let mut candidates = BTreeMap::new();
        let mut ends_at = None;
        let (mut rows, mut bytes) = (0, 0);
        let params = [
            Param::Bytes(&range.first),
            Param::Bytes(&range.end),
            Param::Int(limit as i64),
        ];
        let mut each = |row: &dyn Row| {
            let item = stored(row)?;
            let stored_key = key::encode(&item.key);
            rows += 1;
            bytes += item.value.len();
            let is_cut = rows == limit || bytes > bytes_max;
            ends_at = is_cut.then(|| stored_key.clone());
            candidates.insert(stored_key, (item.revision <= revision).then_some(item));
            Ok(if is_cut {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        };
        session.query(&statements.list, &params, &mut each).await?;
        Ok(Self {
            candidates,
            ends_at,
        })
    }

    async fn add_deleted<S: Session>(
        &mut self,
        session: &mut S,
        statements: &Statements,
        range: &KeyRange,
        revision: Revision,
    ) -> Attempt<()> {
        let mut deleted = Vec::new();
        let params = [
            param(revision),
            Param::Bytes(&range.first),
            Param::Bytes(&range.end),
            Param::Int(STATEMENT_ROWS_MAX as i64),
        ];
        session
            .query(&statements.deleted_since, &params, &mut |row| {
                deleted.push(bytes(row, 0)?.to_vec());
                Ok(ControlFlow::Continue(()))
            })
            .await?;
        if deleted.len() == STATEMENT_ROWS_MAX {
            // There may be more of them: the stretch ends at the last one that is known.
            let last = deleted[deleted.len() - 1].clone();
            self.candidates.retain(|stored_key, _| *stored_key <= last);
            self.ends_at = Some(last);
        }
        let deleted = deleted.into_iter().map(|stored_key| (stored_key, None));
        self.candidates.extend(deleted);
        Ok(())
    }
}

/// Returns the objects of some candidates that existed at the revision, in key order.
async fn resolve<S: Session>(
    session: &mut S,
    statements: &Statements,
    candidates: &[(Vec<u8>, Option<Stored>)],
    revision: Revision,
) -> Attempt<Vec<Stored>> {
    let changed: Vec<&[u8]> = candidates
        .iter()
        .filter(|(_, item)| item.is_none())
        .map(|(stored_key, _)| stored_key.as_slice())
        .collect();
    let unchanged = candidates.iter().filter_map(|(_, item)| item.clone());
    let mut items: Vec<Stored> = unchanged.collect();
    for keys in changed.chunks(statements.newest_at.keys_max().min(OBJECTS_AT_A_TIME)) {
        let (sql, mut params) = statements.newest_at.of(keys);
        params.push(param(revision));
        session
            .query(sql, &params, &mut |row| {
                let item = stored(row)?;
                if item.kind != ChangeKind::Deleted {
                    items.push(item);
                }
                Ok(ControlFlow::Continue(()))
            })
            .await?;
    }
    items.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(items)
}
