//! Reads of ranges that hold several kinds, some of which may be read from one store and some from
//! the other.

use std::collections::BTreeMap;

use storage_core::{
    Changes, ChangesQuery, Compacted, ListQuery, Page, ResourceKey, ResourceStats, Result,
    Retention, Revision, Scope, Source, StorageBackend, Stored,
};
use tokio::time::{Instant, timeout};

use crate::inner::Inner;
use crate::merged::{cursor_after, merge, merge_changes};
use crate::read::{READ_ATTEMPTS, Views, expired, overtaken};
use crate::stored::Records;
use crate::{Kind, Mode, Side};

/// Which store each kind of a range is read from.
#[derive(Debug)]
pub(crate) struct Sides {
    views: Views,
    by_kind: BTreeMap<Kind, Side>,
    default: Side,
    /// The one side of all of them, if it is one.
    uniform: Option<Side>,
}

impl Sides {
    fn of(&self, kind: &Kind) -> Side {
        self.by_kind.get(kind).copied().unwrap_or(self.default)
    }

    /// Tells whether a mode of some kind has writes that are begun and not finished.
    fn journaled(&self) -> bool {
        let both = |mode: Mode| mode.writes_reach(Side::Legacy) && mode.writes_reach(Side::Unified);
        self.views.iter().any(|view| both(view.mode))
    }

    fn has(&self, side: Side, key: &ResourceKey) -> bool {
        self.of(&Kind::of(key)) == side
    }
}

/// Tells whether a list shows what there is now.
pub(crate) fn is_newest(query: &ListQuery) -> bool {
    query.at.is_none() && query.cursor.is_none() && query.source == Source::Live
}

impl Inner {
    /// Looks up which kinds of a range have a mode of their own.
    async fn sides(&self, scope: &Scope, deadline: Instant) -> Result<Sides> {
        let mut views = Views::new();
        let mut by_kind = BTreeMap::new();
        let default = self.default.mode()?.read_side();
        for kind in self.known_kinds().await? {
            let inside = match scope {
                Scope::All => true,
                Scope::Group { group } => **group == *kind.group(),
                Scope::Resource { .. } | Scope::Namespace { .. } | Scope::Object(_) => false,
            };
            if inside {
                let view = self.readable(&kind, deadline).await?;
                by_kind.insert(kind, view.mode.read_side());
                views.push(view);
            }
        }
        // A kind without a record may get one at any moment: then its view tells.
        let default_kind = self.default.kind();
        views.push(self.readable(&default_kind, deadline).await?);
        let uniform = by_kind
            .values()
            .all(|side| *side == default)
            .then_some(default);
        Ok(Sides {
            views,
            by_kind,
            default,
            uniform,
        })
    }

    /// Returns the kinds that have a record of their own, in either store.
    pub(crate) async fn known_kinds(&self) -> Result<Vec<Kind>> {
        let mut kinds = std::collections::BTreeSet::new();
        let home = self.default.mode()?.home();
        for side in [home, home.other()] {
            let records = match Records::read(self.store(side), self.options.space).await {
                Ok(records) => records,
                // Only kinds whose home is there are missed, and those cannot be read anyway.
                Err(_) if side != home => continue,
                Err(error) => return Err(error),
            };
            kinds.extend(records.by_kind.into_keys());
        }
        Ok(kinds.into_iter().collect())
    }

    async fn all_held(&self, sides: &Sides, scope: &Scope, deadline: Instant) -> Result<bool> {
        for view in &sides.views {
            if !self.held(view).await? {
                return Ok(false);
            }
        }
        // Kinds that got a record while the range was read.
        let known = self.sides(scope, deadline).await?;
        Ok(known.by_kind.keys().eq(sides.by_kind.keys()))
    }

    /// Lists a range of any number of kinds.
    pub(crate) async fn list_range(&self, query: &ListQuery) -> Result<Page> {
        if let Some(kind) = Kind::of_scope(&query.scope) {
            return self.list_kind(&kind, query).await;
        }
        let deadline = Instant::now() + self.options.patience;
        for _ in 0..READ_ATTEMPTS {
            let sides = self.sides(&query.scope, deadline).await?;
            if sides.journaled() && is_newest(query) {
                self.settle_scope(&query.scope, deadline).await?;
            }
            let answer = self.list_sides(&sides, query).await;
            if self.all_held(&sides, &query.scope, deadline).await? {
                return answer;
            }
        }
        Err(overtaken("list", &self.default.kind()))
    }

    async fn list_sides(&self, sides: &Sides, query: &ListQuery) -> Result<Page> {
        let asked = query.at.or(query.cursor.as_ref().map(|c| c.revision));
        self.refuse_old(sides, asked)?;
        if let Some(side) = sides.uniform {
            if let Some(asked) = asked {
                self.reach(side, asked).await?;
            }
            let page = self.store(side).list(query).await?;
            if query.scope.is_internal() {
                return self.without_ours(side, query, page).await;
            }
            return Ok(page);
        }
        // Both stores at one revision number: what they commit later has a higher one.
        let at = match asked {
            Some(at) => {
                self.reach(Side::Legacy, at).await?;
                self.reach(Side::Unified, at).await?;
                at
            }
            None => self.level().await?,
        };
        let mut at_revision = query.clone();
        if query.source == Source::Live && !query.scope.is_internal() {
            match &mut at_revision.cursor {
                Some(cursor) => cursor.revision = at,
                None => at_revision.at = Some(at),
            }
        }
        let legacy = self.list_side(sides, Side::Legacy, &at_revision).await?;
        let unified = self.list_side(sides, Side::Unified, &at_revision).await?;
        Ok(merge(legacy, unified, query, at))
    }

    fn refuse_old(&self, sides: &Sides, asked: Option<Revision>) -> Result<()> {
        let Some(asked) = asked else {
            return Ok(());
        };
        match sides.views.iter().find(|view| asked < view.floor()) {
            Some(view) => Err(expired("read", view, asked)),
            None => Ok(()),
        }
    }

    /// Lists one store's own kinds: at least one item if there is one.
    async fn list_side(&self, sides: &Sides, side: Side, query: &ListQuery) -> Result<Page> {
        let mut query = query.clone();
        let mut kept: Option<Page> = None;
        loop {
            let mut page = self.store(side).list(&query).await?;
            page.items
                .retain(|item| sides.has(side, &item.key) && !self.keys.is_ours(&item.key));
            let next = page.next.clone();
            let so_far = match kept.take() {
                None => page,
                Some(mut kept) => {
                    kept.items.extend(page.items);
                    kept.next = page.next;
                    kept
                }
            };
            match next {
                Some(cursor) if so_far.items.len() < query.items_max() => {
                    query = query.after(cursor);
                    kept = Some(so_far);
                }
                Some(_) | None => return Ok(so_far),
            }
        }
    }

    /// Takes our own records out of a list of the internal group.
    async fn without_ours(&self, side: Side, query: &ListQuery, first: Page) -> Result<Page> {
        let mut page = first;
        let mut items: Vec<Stored> = Vec::new();
        loop {
            items.extend(
                page.items
                    .drain(..)
                    .filter(|item| !self.keys.is_ours(&item.key)),
            );
            match page.next.clone() {
                Some(cursor) if items.len() < query.items_max() => {
                    page = self.store(side).list(&query.clone().after(cursor)).await?;
                }
                Some(_) | None => break,
            }
        }
        let limit = query.items_max();
        if items.len() > limit || page.next.is_some() {
            items.truncate(limit);
            page.next = items
                .last()
                .map(|last| cursor_after(query, last, page.revision));
        }
        Ok(Page { items, ..page })
    }

    /// Brings both stores to one revision number and returns it.
    async fn level(&self) -> Result<Revision> {
        let legacy = self.newest(Side::Legacy).await?;
        let unified = self.newest(Side::Unified).await?;
        let to = legacy.max(unified);
        self.raise(Side::Legacy, to).await?;
        self.raise(Side::Unified, to).await?;
        self.publish(to);
        Ok(to)
    }

    /// Returns the changes of a range.
    pub(crate) async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        let deadline = Instant::now() + self.options.patience;
        for _ in 0..READ_ATTEMPTS {
            let sides = match Kind::of_scope(&query.scope) {
                Some(kind) => {
                    let view = self.readable(&kind, deadline).await?;
                    let side = view.mode.read_side();
                    Sides {
                        views: vec![view],
                        by_kind: BTreeMap::from([(kind, side)]),
                        default: side,
                        uniform: Some(side),
                    }
                }
                None => self.sides(&query.scope, deadline).await?,
            };
            let answer = self.changes_sides(&sides, query).await;
            let held = match Kind::of_scope(&query.scope) {
                Some(_) => self.held(&sides.views[0]).await?,
                None => self.all_held(&sides, &query.scope, deadline).await?,
            };
            if held {
                return answer;
            }
        }
        Err(overtaken("changes", &self.default.kind()))
    }

    async fn changes_sides(&self, sides: &Sides, query: &ChangesQuery) -> Result<Changes> {
        // From zero on means everything that is kept, of the store that is read now.
        let asked = (query.after > Revision::ZERO).then_some(query.after);
        self.refuse_old(sides, asked)?;
        match sides.uniform {
            Some(side) => self.changes_uniform(side, query).await,
            None => {
                self.level().await?;
                let legacy = self.legacy.changes(query).await?;
                let unified = self.unified.changes(query).await?;
                Ok(merge_changes(
                    |side, key| sides.has(side, key),
                    legacy,
                    unified,
                ))
            }
        }
    }

    /// The other store's revisions may be ahead, and `head` tells the highest of both.
    async fn changes_uniform(&self, side: Side, query: &ChangesQuery) -> Result<Changes> {
        let head = *self.head.borrow();
        self.reach(side, query.after).await?;
        let answer = self.store(side).changes(query).await?;
        if answer.changes.is_empty() && answer.through < head {
            self.raise(side, head).await?;
            return self.store(side).changes(query).await;
        }
        Ok(answer)
    }

    /// Counts objects.
    pub(crate) async fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        let deadline = Instant::now() + self.options.patience;
        for _ in 0..READ_ATTEMPTS {
            let (sides, single) = match Kind::of_scope(scope) {
                Some(kind) => (None, Some(self.readable(&kind, deadline).await?)),
                None => (Some(self.sides(scope, deadline).await?), None),
            };
            let answer = match (&sides, &single) {
                (Some(sides), _) => self.stats_sides(sides, scope).await,
                (None, Some(view)) => self.store(view.mode.read_side()).stats(scope).await,
                (None, None) => Ok(vec![]),
            };
            let held = match (&sides, &single) {
                (Some(sides), _) => self.all_held(sides, scope, deadline).await?,
                (None, Some(view)) => self.held(view).await?,
                (None, None) => true,
            };
            if held {
                return answer;
            }
        }
        Err(overtaken("stats", &self.default.kind()))
    }

    async fn stats_sides(&self, sides: &Sides, scope: &Scope) -> Result<Vec<ResourceStats>> {
        if let Some(side) = sides.uniform {
            return self.store(side).stats(scope).await;
        }
        let mut all = Vec::new();
        for side in [Side::Legacy, Side::Unified] {
            let stats = self.store(side).stats(scope).await?;
            let of = |s: &ResourceStats| Kind::new(&s.group, &s.resource);
            all.extend(stats.into_iter().filter(|s| sides.of(&of(s)) == side));
        }
        all.sort();
        Ok(all)
    }

    /// Compacts the stores that are in use; answers for the one that is read.
    pub(crate) async fn compact(&self, policy: &Retention) -> Result<Compacted> {
        let deadline = Instant::now() + self.options.patience;
        let sides = self.sides(&Scope::All, deadline).await?;
        let mut modes = vec![self.default.mode()?];
        modes.extend(sides.views.iter().map(|view| view.mode));
        let uses = |side: Side| modes.iter().any(|mode| mode.writes_reach(side));
        let read = sides.uniform.unwrap_or(sides.default);
        let both = uses(read.other());
        let mut first = policy.clone();
        if both && policy.step_max > 1 {
            first.step_max = policy.step_max.div_ceil(2);
        }
        let mut compacted = self.store(read).compact(&first).await?;
        if both {
            let second = Retention {
                step_max: (policy.step_max / 2).max(1),
                ..policy.clone()
            };
            compacted.more |= self.store(read.other()).compact(&second).await?.more;
        }
        // What mode 1 does in the background must not grow without end, nor hold up or fail anybody.
        if !uses(Side::Unified) && modes.contains(&Mode::One) {
            let behind = timeout(self.options.patience, self.unified.compact(policy));
            match behind.await {
                Ok(Ok(behind)) => compacted.more |= behind.more,
                Ok(Err(error)) => tracing::warn!(%error, "unified was not compacted"),
                Err(_) => tracing::warn!("unified was not compacted: it takes too long"),
            }
        }
        Ok(compacted)
    }
}
