//! Walking both stores side by side, page by page, in bounded memory.

use std::collections::BTreeMap;

use storage_core::{
    Cursor, ErrorKind, ListQuery, Order, Page, ResourceKey, Result, Revision, Source, Stored,
};

use crate::inner::Inner;
use crate::{Kind, Side};

/// Value bytes after which a page of the walk ends.
const PAGE_BYTES: usize = 4 << 20;

/// A stretch of the key space, with what both stores have in it.
#[derive(Debug)]
pub(crate) struct Stretch {
    pub(crate) pairs: Vec<Pair>,
    /// The last key of the stretch; none at the end.
    pub(crate) end: Option<ResourceKey>,
}

/// One object as both stores have it.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) key: ResourceKey,
    pub(crate) legacy: Option<Stored>,
    pub(crate) unified: Option<Stored>,
}

impl Inner {
    /// Reads the stretch after a key. What it shows is a hint: the stores are read one after the
    /// other, and both move on.
    pub(crate) async fn stretch(
        &self,
        kind: &Kind,
        after: Option<&ResourceKey>,
        records: usize,
    ) -> Result<Stretch> {
        let legacy = self.page_after(Side::Legacy, kind, after, records).await?;
        let unified = self.page_after(Side::Unified, kind, after, records).await?;
        // Beyond a page that is followed by another one, its store is not known yet.
        let known = |page: &Page| page.next.as_ref().map(|next| next.key.clone());
        let end = match (known(&legacy), known(&unified)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        };
        let mut pairs: BTreeMap<ResourceKey, Pair> = BTreeMap::new();
        let inside = |item: &Stored| end.as_ref().is_none_or(|end| item.key <= *end);
        for item in legacy.items.into_iter().filter(&inside) {
            let pair = pair(&mut pairs, &item.key);
            pair.legacy = Some(item);
        }
        for item in unified.items.into_iter().filter(&inside) {
            let pair = pair(&mut pairs, &item.key);
            pair.unified = Some(item);
        }
        Ok(Stretch {
            pairs: pairs.into_values().collect(),
            end,
        })
    }

    async fn page_after(
        &self,
        side: Side,
        kind: &Kind,
        after: Option<&ResourceKey>,
        records: usize,
    ) -> Result<Page> {
        let mut query = ListQuery::live(kind.scope()).limit(records);
        query.limit_bytes = Some(PAGE_BYTES);
        let Some(after) = after else {
            return self.store(side).list(&query).await;
        };
        let head = *self.store(side).head().borrow();
        let page = self
            .store(side)
            .list(&query.clone().after(newest_after(after, head)))
            .await;
        match page {
            // This process has not heard of newer revisions for long.
            Err(error) if error.kind() == ErrorKind::Expired => {
                let newest = self.newest(side).await?;
                self.store(side)
                    .list(&query.after(newest_after(after, newest)))
                    .await
            }
            page => page,
        }
    }
}

/// Returns a cursor that goes on after a key in the newest state: the walk is no snapshot, so that
/// it may take longer than old revisions are kept.
fn newest_after(key: &ResourceKey, revision: Revision) -> Cursor {
    Cursor {
        source: Source::Live,
        order: Order::Ascending,
        revision,
        key: key.clone(),
        item: revision,
    }
}

fn pair<'a>(pairs: &'a mut BTreeMap<ResourceKey, Pair>, key: &ResourceKey) -> &'a mut Pair {
    pairs.entry(key.clone()).or_insert_with(|| Pair {
        key: key.clone(),
        legacy: None,
        unified: None,
    })
}
