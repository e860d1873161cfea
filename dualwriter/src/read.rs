//! Reads: from the side that the mode says, aware of unfinished writes.

use std::sync::Arc;

use storage_core::{
    Error, ErrorKind, ListQuery, Page, Precondition, ResourceKey, Result, Revision, Scope,
    StorageBackend, StorageBackendExt, Stored, Transaction,
};
use tokio::time::Instant;

use crate::bugs::{Bug, planted};
use crate::copy::{Copied, Direction};
use crate::dual::of_a_read;
use crate::inner::Inner;
use crate::journal::Entry;
use crate::mode::Reads;
use crate::observe::{Operation, Status};
use crate::range::is_newest;
use crate::record::Coverage;
use crate::view::View;
use crate::{Kind, Mode, Side, observe};

/// How often a read starts again because the mode changed under it.
pub(crate) const READ_ATTEMPTS: usize = 16;

impl Inner {
    /// Reads an object.
    pub(crate) async fn get(
        &self,
        key: &ResourceKey,
        at: Option<Revision>,
    ) -> Result<Option<Stored>> {
        let kind = Kind::of(key);
        let deadline = Instant::now() + self.options.patience;
        for _ in 0..READ_ATTEMPTS {
            let view = self.readable(&kind, deadline).await?;
            let answer = match at {
                Some(at) => self.get_at(&view, key, at).await,
                None => self.get_newest(&view, key, deadline).await,
            };
            if self.held(&view).await? {
                view.count(Operation::Get, read_status(&answer));
                return answer;
            }
        }
        Err(overtaken("get", &kind))
    }

    async fn get_at(&self, view: &View, key: &ResourceKey, at: Revision) -> Result<Option<Stored>> {
        let store = self.store(view.mode.read_side());
        if at < view.floor() && !key.is_internal() {
            return Err(expired("get", view, at));
        }
        self.reach(view.mode.read_side(), at).await?;
        store.get(key, Some(at)).await
    }

    async fn get_newest(
        &self,
        view: &View,
        key: &ResourceKey,
        deadline: Instant,
    ) -> Result<Option<Stored>> {
        match view.mode.policy().reads {
            Reads::Legacy => self.legacy.get(key, None).await,
            Reads::Unified => self.unified.get(key, None).await,
            Reads::LegacyShadowed => {
                let answer = self.legacy.get(key, None).await;
                self.queue.push_comparison(key);
                answer
            }
            Reads::LegacyVerified => self.get_verified(view, key, deadline).await,
            Reads::UnifiedWithFallback => self.get_with_fallback(view, key, deadline).await,
        }
    }

    /// Mode 2: unified must be able to answer, and nobody may be in the middle of writing.
    async fn get_verified(
        &self,
        view: &View,
        key: &ResourceKey,
        deadline: Instant,
    ) -> Result<Option<Stored>> {
        self.settle(key, deadline).await?;
        let (legacy, unified) =
            futures::join!(self.legacy.get(key, None), self.unified.get(key, None));
        let (legacy, unified) = (legacy?, unified?);
        if let (Some(legacy), Some(unified)) = (&legacy, &unified)
            && legacy.value != unified.value
        {
            self.note_difference(view, key).await;
        }
        Ok(legacy)
    }

    /// Two reads of two stores may differ because a write fell between them: looked at again.
    async fn note_difference(&self, view: &View, key: &ResourceKey) {
        if self.slots.is_taken(key) || !matches!(self.intent(key).await, Ok(None)) {
            return;
        }
        let (legacy, unified) =
            futures::join!(self.legacy.get(key, None), self.unified.get(key, None));
        let (Ok(legacy), Ok(unified)) = (legacy, unified) else {
            return;
        };
        let value = |stored: &Option<Stored>| stored.as_ref().map(|s| s.value.clone());
        if value(&legacy) != value(&unified) && matches!(self.intent(key).await, Ok(None)) {
            observe::read_difference(&view.kind);
            self.clear_mark(&view.kind, "a verification read found a difference")
                .await;
        }
    }

    /// Mode 3: what unified never had is fetched from legacy, and then is in unified.
    async fn get_with_fallback(
        &self,
        view: &View,
        key: &ResourceKey,
        deadline: Instant,
    ) -> Result<Option<Stored>> {
        self.settle(key, deadline).await?;
        for _ in 0..READ_ATTEMPTS {
            if let Some(stored) = self.unified.get(key, None).await? {
                return Ok(Some(stored));
            }
            if planted(Bug::FallbackWithoutIntent) {
                return self.legacy.get(key, None).await;
            }
            if view.authority() == Side::Unified || self.is_entombed(key).await? {
                return Ok(None);
            }
            if self.legacy.get(key, None).await?.is_none() {
                return Ok(None);
            }
            // Under an intent, so that a creation in flight is not taken for a missed object.
            let [copied] = self
                .copy_objects(view, std::slice::from_ref(key), Direction::Forward)
                .await?
                .try_into()
                .map_err(|_| Error::new(ErrorKind::Internal, "get", "one copy was asked for"))?;
            if copied.changed() {
                observe::fallback_hit(&view.kind);
            }
            if copied == Copied::Busy {
                if !self.held(view).await? {
                    return Err(overtaken("get", &view.kind));
                }
                self.settle(key, deadline).await?;
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        let context = format!("{key} is being written");
        Err(Error::new(ErrorKind::Unavailable, "get", context))
    }

    /// Tells whether unified once had the object and deleted it.
    async fn is_entombed(&self, key: &ResourceKey) -> Result<bool> {
        if key.is_internal() {
            return Ok(false);
        }
        let trash = ListQuery::trash(Scope::Object(key.clone())).limit(1);
        Ok(!self.unified.list(&trash).await?.items.is_empty())
    }

    /// Before a write in mode 3 whose sync was skipped: unified has to know the object to decide.
    /// Fails, too, if the mode changes meanwhile: see [`Inner::all_hold`].
    pub(crate) async fn fetch_unsynced(&self, entries: &[Entry]) -> Result<()> {
        let deadline = Instant::now() + self.options.patience;
        for entry in entries {
            for write in &entry.transaction.writes {
                let kind = Kind::of(&write.key);
                let Some(view) = entry.views.iter().find(|view| view.kind == kind) else {
                    continue;
                };
                let partial = view.record.coverage == Coverage::Partial;
                if view.mode == Mode::Three && partial && view.authority() == Side::Legacy {
                    let fetched = self.get_with_fallback(view, &write.key, deadline).await;
                    fetched.map_err(of_a_read)?;
                }
            }
        }
        Ok(())
    }

    /// Tells whether all that transactions rely on held until now.
    pub(crate) async fn all_hold(&self, entries: &[Entry]) -> Result<bool> {
        for view in entries.iter().flat_map(|entry| &entry.views) {
            if view.is_changing() || !self.held(view).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Lists a range of one kind.
    pub(crate) async fn list_kind(&self, kind: &Kind, query: &ListQuery) -> Result<Page> {
        let deadline = Instant::now() + self.options.patience;
        for _ in 0..READ_ATTEMPTS {
            let view = self.readable(kind, deadline).await?;
            let answer = self.list_view(&view, query, deadline).await;
            if self.held(&view).await? {
                view.count(Operation::List, read_status(&answer));
                return answer;
            }
        }
        Err(overtaken("list", kind))
    }

    async fn list_view(&self, view: &View, query: &ListQuery, deadline: Instant) -> Result<Page> {
        let asked = query.at.or(query.cursor.as_ref().map(|c| c.revision));
        if let Some(asked) = asked
            && asked < view.floor()
            && !query.scope.is_internal()
        {
            return Err(expired("list", view, asked));
        }
        if let Some(asked) = asked {
            self.reach(view.mode.read_side(), asked).await?;
        }
        let newest = is_newest(query);
        match view.mode.policy().reads {
            Reads::Legacy => self.legacy.list(query).await,
            Reads::Unified => self.unified.list(query).await,
            Reads::LegacyShadowed => {
                let page = self.legacy.list(query).await?;
                if newest {
                    page.items
                        .iter()
                        .for_each(|item| self.queue.push_comparison(&item.key));
                }
                Ok(page)
            }
            Reads::LegacyVerified => {
                if !newest {
                    return self.legacy.list(query).await;
                }
                self.settle_scope(&query.scope, deadline).await?;
                let (legacy, unified) =
                    futures::join!(self.legacy.list(query), self.unified.list(query));
                let (legacy, unified) = (legacy?, unified?);
                for item in &legacy.items {
                    let same = |other: &&Stored| other.key == item.key;
                    let twin = unified.items.iter().find(same);
                    if twin.is_some_and(|twin| twin.value != item.value) {
                        self.note_difference(view, &item.key).await;
                    }
                }
                Ok(legacy)
            }
            Reads::UnifiedWithFallback => {
                if newest {
                    self.settle_scope(&query.scope, deadline).await?;
                }
                self.unified.list(query).await
            }
        }
    }

    /// Lifts a store that is behind to a revision that `head` told of, and the other store may have
    /// come to.
    pub(crate) async fn reach(&self, side: Side, asked: Revision) -> Result<()> {
        let head = *self.head.borrow();
        if asked > *self.store(side).head().borrow() && asked <= head {
            self.raise(side, head).await?;
        }
        Ok(())
    }

    /// Raises a store's revisions, if they are behind.
    pub(crate) async fn raise(&self, side: Side, to: Revision) -> Result<Revision> {
        let raised = self.store(side).commit_one(Transaction::raise(to)).await?;
        raised
            .revision()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "raise", "a raise has no conflict"))
    }
}

pub(crate) fn overtaken(operation: &'static str, kind: &Kind) -> Error {
    let context = format!("the mode of {kind} keeps changing");
    Error::new(ErrorKind::Unavailable, operation, context)
}

pub(crate) fn expired(operation: &'static str, view: &View, asked: Revision) -> Error {
    let context = format!(
        "revision {asked} of {} is from before the change to mode {} at revision {}",
        view.kind,
        view.mode,
        view.floor()
    );
    Error::new(ErrorKind::Expired, operation, context)
}

/// Returns the condition that a store stays as it was seen.
pub(crate) fn unchanged(seen: Option<&Stored>) -> Precondition {
    seen.map_or(Precondition::Absent, |s| Precondition::Revision(s.revision))
}

/// Returns views as a set that a read relies on.
pub(crate) type Views = Vec<Arc<View>>;

/// Names the answer of a read in the metrics.
const fn read_status<T>(answer: &Result<T>) -> Status {
    match answer {
        Ok(_) => Status::Ok,
        Err(_) => Status::Error,
    }
}
