use std::sync::Arc;

use bytes::Bytes;
use storage_core::{
    Changes, ChangesQuery, Cursor, Error, ErrorKind, ListQuery, ManualClock, Memory, Order, Page,
    Precondition, ResourceKey, Retention, Revision, Scope, Source, StorageBackend,
    StorageBackendExt, Stored, Transaction, Write,
};

use super::answer::{Checked, Revisions, ensure, same};
use super::kept::{Kept, by_object};
use crate::Backend;
use crate::ops::{Action, At, Compaction, Expect, Op, Plan, ScopeOf, Steps, WritePlan};
use crate::step::{head, keep_all};

/// Most steps of a compaction until it is done.
const STEPS_MAX: usize = 100_000;

/// One run: the store, the model beside it, and what they have told so far.
pub(super) struct Run {
    store: Option<Backend>,
    model: Memory,
    clock: Arc<ManualClock>,
    group: String,
    /// Nothing else is in the store, so that everything can be asked for.
    alone: bool,
    revisions: Revisions,
    kept: Kept,
    /// Where the next page starts, in the store and in the model.
    cursors: Option<(ListQuery, ListQuery)>,
    values: usize,
}

impl Run {
    pub(super) async fn start(store: Backend, clock: Arc<ManualClock>, number: u64) -> Self {
        let model = Memory::with_clock(Arc::clone(&clock) as _);
        let start = head(&store);
        let horizon = store
            .compact(&keep_all())
            .await
            .expect("compact answers")
            .horizon;
        Self {
            store: Some(store),
            model,
            clock,
            group: format!("run{number}.example.org"),
            alone: start == Revision::ZERO,
            revisions: Revisions::new(start, Revision::ZERO),
            kept: Kept::above(horizon),
            cursors: None,
            values: 0,
        }
    }

    /// Lets the store go.
    pub(super) fn close(&mut self) {
        self.store = None;
    }

    /// Goes on with the store that was opened again.
    pub(super) fn open(&mut self, store: Backend) {
        self.store = Some(store);
    }

    fn store(&self) -> &Backend {
        self.store.as_ref().expect("the store is open")
    }

    pub(super) async fn step(&mut self, op: &Op) -> Checked {
        match op {
            Op::Commit(plans) => self.commit(plans).await,
            Op::Get { key, at } => self.get(*key, *at).await,
            Op::List {
                scope,
                source,
                order,
                at,
                limit,
                limit_bytes,
            } => {
                let query = ListQuery {
                    source: *source,
                    order: *order,
                    limit: *limit,
                    limit_bytes: *limit_bytes,
                    ..ListQuery::live(self.scope(*scope))
                };
                match source {
                    Source::Live => self.live(query, *at).await,
                    Source::History => self.history(query).await,
                    Source::Trash => self.trash(query).await,
                }
            }
            Op::NextPage => self.next_page().await,
            Op::Changes {
                scope,
                after,
                limit,
                limit_bytes,
            } => {
                let query = ChangesQuery {
                    limit: *limit,
                    limit_bytes: *limit_bytes,
                    ..ChangesQuery::new(self.scope(*scope), Revision::ZERO)
                };
                self.changes(query, *after).await
            }
            Op::Compact(compaction) => self.compact(*compaction).await,
            Op::Stats(scope) => self.stats(self.scope(*scope)).await,
            Op::Advance(by) => {
                self.clock.advance(*by);
                Ok(())
            }
            Op::Reopen => Ok(()),
        }
    }

    /// Everything that can be read must be as the model has it.
    pub(super) async fn check_everything(&mut self) -> Checked {
        let scope = self.scope(ScopeOf::All);
        for order in [Order::Ascending, Order::Descending] {
            self.history(ListQuery::history(scope.clone(), order).limit(3))
                .await?;
        }
        self.trash(ListQuery::trash(scope.clone())).await?;
        self.stats(scope.clone()).await?;
        let (store, model) = self.revisions.newest();
        ensure(head(self.store()) >= store, || {
            format!("the head is below {store}")
        })?;
        same("head", &self.revisions.covered(head(self.store())), &model)?;
        for back in 0..self.revisions.all().len() {
            let at = At::Back(u8::try_from(back).unwrap_or(u8::MAX));
            self.live(ListQuery::live(scope.clone()), at).await?;
            for key in 0..crate::ops::KEYS {
                self.get(key, at).await?;
            }
            self.changes(ChangesQuery::new(scope.clone(), Revision::ZERO), at)
                .await?;
        }
        for key in 0..crate::ops::KEYS {
            self.get(key, At::Newest).await?;
        }
        Ok(())
    }

    fn key(&self, number: u8) -> ResourceKey {
        let parts = match number {
            0 => ["things", "n1", "a"],
            1 => ["things", "n1", "b"],
            2 => ["things", "n10", "a"],
            3 => ["things", "", "a"],
            4 => ["things1", "n1", "a"],
            5 => ["things", "n1", "a b"],
            number => {
                let name = format!("{} {number}", self.group);
                let key = ResourceKey::internal("model", "", name);
                return key.expect("a well formed key");
            }
        };
        let key = ResourceKey::new(self.group.as_str(), parts[0], parts[1], parts[2]);
        key.expect("a well formed key")
    }

    fn scope(&self, scope: ScopeOf) -> Scope {
        let named = |number: u8| self.key(number % 6);
        match scope {
            ScopeOf::All if self.alone => Scope::All,
            ScopeOf::All | ScopeOf::Group => Scope::group(self.group.as_str()),
            ScopeOf::Resource(key) => Scope::resource(self.group.as_str(), named(key).resource()),
            ScopeOf::Namespace(key) => {
                let key = named(key);
                Scope::namespace(self.group.as_str(), key.resource(), key.namespace())
            }
            ScopeOf::Object(key) => Scope::Object(self.key(key)),
        }
    }

    /// Returns a revision of the store and the model's; none says nothing.
    fn at(&self, at: At) -> Option<(Revision, Revision)> {
        match at {
            At::Newest => None,
            At::Back(count) => Some(self.revisions.back(count)),
            At::Future => {
                let ahead = |revision: Revision| Revision::new(revision.get() + 1_000_000);
                let (_, model) = self.revisions.newest();
                Some((ahead(head(self.store())), ahead(model)))
            }
        }
    }

    async fn commit(&mut self, plans: &[Plan]) -> Checked {
        let (mut store, mut model) = (Vec::new(), Vec::new());
        for plan in plans {
            let (of_store, of_model) = self.transactions(plan).await;
            store.push(of_store);
            model.push(of_model);
        }
        let store = self.store().commit(store).await;
        let model = self.model.commit(model).await;
        let Some((store, model)) = both("commit", store, model)? else {
            return Ok(());
        };
        same("number of outcomes", &store.len(), &model.len())?;
        for (store, model) in store.iter().zip(&model) {
            self.revisions.outcome(store, model)?;
        }
        let (newest, _) = self.revisions.newest();
        let head = head(self.store());
        ensure(head >= newest, || {
            format!("the head is {head} after a commit of {newest}")
        })
    }

    async fn transactions(&mut self, plan: &Plan) -> (Transaction, Transaction) {
        let time = plan
            .age
            .map(|age| storage_core::Clock::now(&*self.clock).saturating_sub(age));
        let (_, model) = self.revisions.newest();
        let raise = |newest: Revision| {
            plan.raise
                .map(|raise| Revision::new(newest.get() + u64::from(raise)))
        };
        self.values += 1;
        let operation = storage_core::OperationId(self.values as u128);
        let with = |at_least| Transaction {
            at_least,
            time,
            operation,
            ..Transaction::default()
        };
        let (mut store, mut model) = (with(raise(head(self.store()))), with(raise(model)));
        for write in &plan.writes {
            let (of_store, of_model) = self.write(*write).await;
            store = store.and(of_store);
            model = model.and(of_model);
        }
        (store, model)
    }

    async fn write(&mut self, plan: WritePlan) -> (Write, Write) {
        let key = self.key(plan.key);
        let op = self.op(plan.action);
        let (store, model) = match plan.expect {
            Expect::Any => (Precondition::Any, Precondition::Any),
            Expect::Absent => (Precondition::Absent, Precondition::Absent),
            Expect::Present => (Precondition::Present, Precondition::Present),
            Expect::Newest => self.newest(&key).await,
            Expect::At(at) => exactly(self.at(at).unwrap_or(self.revisions.newest())),
        };
        let write = |precondition| Write {
            key: key.clone(),
            precondition,
            op: op.clone(),
        };
        (write(store), write(model))
    }

    /// The revision that an object has in the model, and what stands for it in the store.
    async fn newest(&self, key: &ResourceKey) -> (Precondition, Precondition) {
        let newest = self.model.get(key, None).await.expect("the model answers");
        let at = newest.map_or(Revision::MAX, |newest| newest.revision);
        let pair = self.revisions.all().iter().find(|(_, model)| *model == at);
        exactly(pair.copied().unwrap_or(self.revisions.newest()))
    }

    fn op(&mut self, action: Action) -> storage_core::Op {
        self.values += 1;
        match action {
            Action::Put(0) => storage_core::Op::Put(Bytes::new()),
            Action::Put(size) if size % 4 == 1 => storage_core::Op::Put("the same".into()),
            Action::Put(size) => {
                let mut value = format!("value {} ", self.values);
                value.extend(std::iter::repeat_n('x', usize::from(size)));
                storage_core::Op::Put(value.into())
            }
            Action::Delete => storage_core::Op::Delete(format!("deleted {}", self.values).into()),
            Action::Check => storage_core::Op::Check,
        }
    }

    async fn get(&self, key: u8, at: At) -> Checked {
        let key = self.key(key);
        let at = self.at(at);
        let store = self.store().get(&key, at.map(|(store, _)| store)).await;
        let model = self.model.get(&key, at.map(|(_, model)| model)).await;
        if let (Err(error), Ok(_), Some((store, model))) = (&store, &model, at) {
            return self.may_be_expired(&key, store, model, error).await;
        }
        let what = format!("get {key} at {at:?}");
        let Some((store, model)) = both(&what, store, model)? else {
            return Ok(());
        };
        let store = store
            .map(|stored| self.revisions.stored(&stored))
            .transpose()?;
        same(&what, &store, &model)
    }

    /// Below the horizon a read is expired, unless the record that it needs must be there.
    async fn may_be_expired(
        &self,
        key: &ResourceKey,
        store: Revision,
        model: Revision,
        error: &Error,
    ) -> Checked {
        let expired = error.kind() == ErrorKind::Expired && store < self.kept.horizon;
        ensure(expired, || format!("get {key} at {store}: {error:?}"))?;
        let query = ListQuery::history(Scope::Object(key.clone()), Order::Descending);
        let history = self.model.list_all(query).await.expect("the model answers");
        let needed = history.iter().find(|stored| stored.revision <= model);
        let kept = needed.is_some_and(|needed| self.kept.must_have(needed));
        ensure(!kept, || {
            format!("get {key} at {store}: expired, but {needed:?} is kept")
        })
    }

    async fn live(&mut self, query: ListQuery, at: At) -> Checked {
        let at = self.at(at);
        let with = |at: Option<Revision>| ListQuery {
            at,
            ..query.clone()
        };
        let queries = (
            with(at.map(|(store, _)| store)),
            with(at.map(|(_, model)| model)),
        );
        self.cursors = None;
        self.page(queries).await
    }

    async fn next_page(&mut self) -> Checked {
        match self.cursors.take() {
            Some(queries) => self.page(queries).await,
            None => Ok(()),
        }
    }

    /// Reads a page of both, and remembers where the next one starts.
    async fn page(&mut self, (store_query, model_query): (ListQuery, ListQuery)) -> Checked {
        let store = self.store().list(&store_query).await;
        let model = self.model.list(&model_query).await;
        let cursor = store_query.cursor.as_ref();
        let at = cursor.map(|cursor| cursor.revision).or(store_query.at);
        if model.is_ok() && at.is_some_and(|at| at < self.kept.horizon) {
            return expired("list", store);
        }
        let what = format!("{store_query:?}");
        let Some((store, model)) = both(&what, store, model)? else {
            return Ok(());
        };
        same(
            &what,
            &self.revisions.all_stored(&store.items)?,
            &model.items,
        )?;
        same(&what, &store.next.is_some(), &model.next.is_some())?;
        if !store_query.scope.is_internal() {
            let covered = self.revisions.covered(store.revision);
            same("revision of a page", &covered, &model.revision)?;
        }
        self.cursors = next(store_query, store).zip(next(model_query, model));
        Ok(())
    }

    /// Reads a history to its end; the store may have dropped the oldest revisions of objects.
    async fn history(&self, query: ListQuery) -> Checked {
        let store = self.store().list_all(query.clone()).await;
        let model = self.model.list_all(query.clone()).await;
        let what = format!("{query:?}");
        let Some((store, model)) = both(&what, store, model)? else {
            return Ok(());
        };
        check_order(&what, &store, query.order)?;
        let store = by_object(self.revisions.all_stored(&store)?);
        let model = by_object(model);
        for (key, of_store) in &store {
            let of_model = model.get(key).map_or(&[][..], Vec::as_slice);
            ensure(of_model.ends_with(of_store), || {
                format!("{what}: {key}: the store has\n{of_store:#?}\nthe model has\n{of_model:#?}")
            })?;
        }
        for record in model.values().flatten() {
            let has = store
                .get(&record.key)
                .is_some_and(|history| history.contains(record));
            ensure(has || !self.kept.must_have(record), || {
                format!("{what}: {record:?} is gone")
            })?;
        }
        Ok(())
    }

    async fn trash(&self, query: ListQuery) -> Checked {
        let store = self.store().list_all(query.clone()).await;
        let model = self.model.list_all(query.clone()).await;
        let what = format!("{query:?}");
        let Some((store, model)) = both(&what, store, model)? else {
            return Ok(());
        };
        let store = self.revisions.all_stored(&store)?;
        let mut expected = model;
        expected.retain(|record| store.contains(record) || self.kept.must_have(record));
        same(&what, &store, &expected)
    }

    async fn changes(&self, query: ChangesQuery, after: At) -> Checked {
        let (store_after, model_after) = self.at(after).unwrap_or(self.revisions.newest());
        let with = |after| ChangesQuery {
            after,
            ..query.clone()
        };
        let store = self.store().changes(&with(store_after)).await;
        let model = self.model.changes(&with(model_after)).await;
        if model.is_ok() && store_after < self.kept.horizon {
            return expired("changes", store);
        }
        let what = format!("{:?}", with(store_after));
        match both(&what, store, model)? {
            Some((store, model)) => self.same_changes(&what, &store, &model),
            None => Ok(()),
        }
    }

    fn same_changes(&self, what: &str, store: &Changes, model: &Changes) -> Checked {
        let translated: Checked<Vec<_>> = store
            .changes
            .iter()
            .map(|change| self.revisions.change(change))
            .collect();
        let expected: Vec<_> = model
            .changes
            .iter()
            .map(|change| (**change).clone())
            .collect();
        same(what, &translated?, &expected)?;
        same(what, &self.revisions.covered(store.through), &model.through)
    }

    async fn stats(&self, scope: Scope) -> Checked {
        let store = self.store().stats(&scope).await;
        let model = self.model.stats(&scope).await;
        match both("stats", store, model)? {
            Some((store, model)) => same(&format!("stats of {scope}"), &store, &model),
            None => Ok(()),
        }
    }

    async fn compact(&mut self, compaction: Compaction) -> Checked {
        let policy = policy(compaction);
        for _ in 0..STEPS_MAX {
            let step = self
                .store()
                .compact(&policy)
                .await
                .map_err(|e| format!("compact: {e:?}"))?;
            self.check_horizon(&policy, step.horizon).await?;
            if !step.more || compaction.steps == Steps::One {
                return Ok(());
            }
        }
        Err(format!("compaction has no end: {policy:?}"))
    }

    async fn check_horizon(&mut self, policy: &Retention, horizon: Revision) -> Checked {
        let before = self.kept.horizon;
        let head = head(self.store());
        ensure(horizon >= before, || {
            format!("the horizon went back from {before} to {horizon}")
        })?;
        ensure(horizon <= head, || {
            format!("the horizon {horizon} is beyond the head {head}")
        })?;
        let keeps_all = policy.changes_max.is_none() && policy.changes_age_max.is_none();
        ensure(!keeps_all || horizon == before, || {
            format!("{policy:?} moved the horizon")
        })?;
        let now = storage_core::Clock::now(&*self.clock);
        let (of_before, of_horizon) = (
            self.revisions.covered(before),
            self.revisions.covered(horizon),
        );
        let query = ListQuery::history(Scope::All, Order::Ascending);
        let records = self.model.list_all(query).await.expect("the model answers");
        let dropped =
            |record: &&Stored| record.revision > of_before && record.revision <= of_horizon;
        for record in records.iter().filter(dropped) {
            let young = record.time > now.saturating_sub(policy.changes_age_min);
            ensure(!young, || {
                format!("{policy:?} dropped the young change {record:?}")
            })?;
        }
        self.kept.horizon = horizon;
        self.kept
            .allow(policy, now, of_horizon, &by_object(records));
        Ok(())
    }
}

fn policy(compaction: Compaction) -> Retention {
    Retention {
        changes_age_min: compaction.changes_age_min,
        changes_age_max: compaction.changes_age_max,
        changes_max: compaction.changes_max,
        history_per_object: compaction.history_per_object,
        trash_age_max: compaction.trash_age_max,
        step_max: compaction.step_max,
    }
}

fn exactly((store, model): (Revision, Revision)) -> (Precondition, Precondition) {
    (Precondition::Revision(store), Precondition::Revision(model))
}

/// Returns both answers, or none if both are the same kind of error.
fn both<T: std::fmt::Debug>(
    what: &str,
    store: storage_core::Result<T>,
    model: storage_core::Result<T>,
) -> Checked<Option<(T, T)>> {
    match (store, model) {
        (Ok(store), Ok(model)) => Ok(Some((store, model))),
        (Err(store), Err(model)) if store.kind() == model.kind() => Ok(None),
        (store, model) => Err(format!(
            "{what}: the store says\n{store:#?}\nthe model says\n{model:#?}"
        )),
    }
}

fn expired<T: std::fmt::Debug>(what: &str, store: storage_core::Result<T>) -> Checked {
    match store {
        Err(error) if error.kind() == ErrorKind::Expired => Ok(()),
        other => Err(format!(
            "{what} below the horizon: the store says {other:#?}"
        )),
    }
}

fn next(query: ListQuery, page: Page) -> Option<ListQuery> {
    page.next.map(|cursor: Cursor| query.after(cursor))
}

fn check_order(what: &str, items: &[Stored], order: Order) -> Checked {
    let ordered = items.is_sorted_by(|a, b| match order {
        Order::Ascending => (&a.key, a.revision) < (&b.key, b.revision),
        Order::Descending => a.key < b.key || (a.key == b.key && a.revision > b.revision),
    });
    ensure(ordered, || format!("{what} is out of order: {items:#?}"))
}
