//! Making one store equal to the other, object by object, without harming anybody's write.

use bytes::Bytes;
use futures::future::join_all;
use storage_core::limits::COMMIT_BYTES_MAX;
use storage_core::{
    ChangeKind, Error, ErrorKind, ListQuery, Op, OperationId, Order, Outcome, Precondition,
    ResourceKey, Result, Revision, Scope, StorageBackend, StorageBackendExt, Stored, Timestamp,
    Transaction, Write,
};

use crate::bugs::{Bug, planted};
use crate::inner::Inner;
use crate::intent::{Intent, IntentHeader, IntentOp, Work};
use crate::view::View;
use crate::{Side, observe};

/// Which store is made equal to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Unified to legacy.
    Forward,
    /// Legacy to unified.
    Reverse,
}

impl Direction {
    /// Returns the store that is copied from.
    #[must_use]
    pub const fn source(self) -> Side {
        match self {
            Self::Forward => Side::Legacy,
            Self::Reverse => Side::Unified,
        }
    }

    pub(crate) const fn from(side: Side) -> Self {
        match side {
            Side::Legacy => Self::Forward,
            Side::Unified => Self::Reverse,
        }
    }
}

/// What copying one object did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copied {
    /// Both stores had the same.
    Equal,
    Put,
    Deleted,
    /// Somebody else writes the object; it was left alone.
    Busy,
}

impl Copied {
    pub(crate) const fn changed(self) -> bool {
        matches!(self, Self::Put | Self::Deleted)
    }
}

/// Tells whether two stores hold the same object: everything but the revision.
pub(crate) fn is_same(a: Option<&Stored>, b: Option<&Stored>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            a.value == b.value
                && (a.key.is_internal() || (a.operation == b.operation && a.time == b.time))
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}

impl Inner {
    /// Copies objects of one kind; one answer for each, in order.
    pub(crate) async fn copy_objects(
        &self,
        view: &View,
        objects: &[ResourceKey],
        direction: Direction,
    ) -> Result<Vec<Copied>> {
        let _slots = self.slots.take(objects).await;
        // In a mode that writes unified alone nobody takes intents: the bases in legacy have to do.
        if !view.mode.writes_reach(Side::Legacy) {
            debug_assert_eq!(direction, Direction::Reverse);
            let (copied, _) = self.copy_unguarded(view, objects, None).await?;
            return Ok(copied);
        }
        let guard = match view.unified {
            Some(_) => view.guard(Side::Unified)?,
            // Mode 1 does without unified; its copy of the record is looked at here.
            None => self.loose_guard(view).await?,
        };
        let placed = self.place_copies(view, objects, &guard).await?;
        let held: Vec<ResourceKey> = objects
            .iter()
            .zip(&placed)
            .filter(|(_, revision)| revision.is_some())
            .map(|(object, _)| object.clone())
            .collect();
        let copied = match direction {
            Direction::Forward => self.copy_forward(&held, &placed, &guard).await?,
            Direction::Reverse => {
                let intents: Vec<Revision> = placed.iter().flatten().copied().collect();
                let copying = self.copy_unguarded(view, &held, Some(&intents));
                let (copied, newest) = copying.await?;
                self.end_copies(&held, &placed, newest).await?;
                copied
            }
        };
        let mut copied = copied.into_iter();
        let of = |revision: &Option<Revision>| match revision {
            Some(_) => copied.next().unwrap_or(Copied::Busy),
            None => Copied::Busy,
        };
        let copied: Vec<Copied> = placed.iter().map(of).collect();
        for _ in copied.iter().filter(|copied| copied.changed()) {
            observe::repaired(&view.kind, direction.source().other());
        }
        Ok(copied)
    }

    /// Takes an intent on each object; its revision, or none if somebody has one.
    async fn place_copies(
        &self,
        view: &View,
        objects: &[ResourceKey],
        guard: &Write,
    ) -> Result<Vec<Option<Revision>>> {
        let mut transactions = Vec::with_capacity(objects.len());
        for object in objects {
            let intent = Write {
                key: self.keys.intent(object),
                precondition: Precondition::Absent,
                op: Op::Put(self.copy_intent(view, object).encode()),
            };
            transactions.push(Transaction::from(guard.clone()).and(intent));
        }
        let outcomes = self.unified.commit(transactions).await?;
        let of_epoch = |outcome: &Outcome| match outcome {
            Outcome::Conflict(conflict) => self.is_epoch_conflict(conflict),
            Outcome::Committed { .. } => false,
        };
        if outcomes.iter().any(of_epoch) {
            self.forget(&view.kind);
        }
        Ok(outcomes.iter().map(Outcome::revision).collect())
    }

    async fn loose_guard(&self, view: &View) -> Result<Write> {
        let copy = self.copy(&view.kind, Side::Unified).await?;
        self.refuse_newer(view, &copy)?;
        Ok(Write::check(self.keys.mode(&view.kind), copy.unchanged()))
    }

    /// A store that knows of a later epoch is not to be written in this one.
    pub(crate) fn refuse_newer(&self, view: &View, copy: &crate::view::Copy) -> Result<()> {
        if copy
            .record
            .as_ref()
            .is_some_and(|record| record.epoch > view.record.epoch)
        {
            self.forget(&view.kind);
            let context = format!("the mode of {} changed", view.kind);
            return Err(Error::new(ErrorKind::Unavailable, "copy", context));
        }
        Ok(())
    }

    fn copy_intent(&self, view: &View, object: &ResourceKey) -> Intent {
        Intent {
            header: IntentHeader {
                work: Work::Copy,
                first: None,
                owner: self.options.instance.0,
                epoch: view.record.epoch,
                started_ms: self.now().as_millis(),
                object: object.clone(),
                head: object.clone(),
                next: None,
                precondition: Precondition::Any,
                op: IntentOp::Check,
                at_least: None,
                operation: OperationId::default(),
                time: Timestamp::default(),
            },
            value: Bytes::new(),
        }
    }

    /// Reads both stores under the intents, and makes unified equal as it removes them. Not in
    /// another mode than they were placed in: in modes 4 and 5 writers do not look at intents.
    async fn copy_forward(
        &self,
        held: &[ResourceKey],
        placed: &[Option<Revision>],
        guard: &Write,
    ) -> Result<Vec<Copied>> {
        let sources = join_all(held.iter().map(|o| self.legacy.get(o, None))).await;
        let targets = join_all(held.iter().map(|o| self.unified.get(o, None))).await;
        let mut transactions = Vec::with_capacity(held.len());
        let mut copied = Vec::with_capacity(held.len());
        let revisions = placed.iter().flatten();
        for (((object, source), target), intent) in
            held.iter().zip(sources).zip(targets).zip(revisions)
        {
            let (source, target) = (source?, target?);
            let (mut transaction, step) = self
                .equalise(Side::Legacy, object, source.as_ref(), target.as_ref())
                .await?;
            let end = self.end_copy(object, *intent);
            transaction.writes.extend([end, guard.clone()]);
            transactions.push(transaction);
            copied.push(step);
        }
        let outcomes = self.commit_copies(Side::Unified, transactions).await?;
        let mut given_up = Vec::new();
        let ends = held.iter().zip(placed.iter().flatten());
        for ((copied, outcome), (object, intent)) in copied.iter_mut().zip(outcomes).zip(ends) {
            if outcome.revision().is_none() {
                *copied = Copied::Busy;
                given_up.push(Transaction::from(self.end_copy(object, *intent)));
            }
        }
        if !given_up.is_empty() {
            self.unified.commit(given_up).await?;
        }
        Ok(copied)
    }

    /// Commits copies, in as many calls as the limit of bytes in one asks for.
    async fn commit_copies(
        &self,
        side: Side,
        transactions: Vec<Transaction>,
    ) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(transactions.len());
        let (mut call, mut bytes) = (Vec::new(), 0);
        for transaction in transactions {
            let more = transaction.value_bytes();
            if bytes + more > COMMIT_BYTES_MAX && !call.is_empty() {
                let full = std::mem::take(&mut call);
                outcomes.extend(self.store(side).commit(full).await?);
                bytes = 0;
            }
            bytes += more;
            call.push(transaction);
        }
        outcomes.extend(self.store(side).commit(call).await?);
        Ok(outcomes)
    }

    fn end_copy(&self, object: &ResourceKey, intent: Revision) -> Write {
        Write {
            key: self.keys.intent(object),
            precondition: if planted(Bug::ApplyWithoutIntent) {
                Precondition::Any
            } else {
                Precondition::Revision(intent)
            },
            op: Op::Delete(Bytes::new()),
        }
    }

    /// Removes the intents, and leaves unified's revisions above those of the copies.
    async fn end_copies(
        &self,
        held: &[ResourceKey],
        placed: &[Option<Revision>],
        newest: Revision,
    ) -> Result<()> {
        let revisions = placed.iter().flatten();
        let ends = held.iter().zip(revisions);
        let ends = ends.map(|(object, at)| Transaction {
            at_least: Some(newest),
            ..Transaction::from(self.end_copy(object, *at))
        });
        self.unified.commit(ends.collect()).await?;
        Ok(())
    }

    /// Makes one store equal by the bases and the epoch of legacy. Only the store that nobody
    /// reads is written in this way: legacy in reverse. Returns the newest revision of a copy too.
    async fn copy_unguarded(
        &self,
        view: &View,
        objects: &[ResourceKey],
        intents: Option<&[Revision]>,
    ) -> Result<(Vec<Copied>, Revision)> {
        let legacy_copy = self.copy(&view.kind, Side::Legacy).await?;
        self.refuse_newer(view, &legacy_copy)?;
        let guard = Write::check(self.keys.mode(&view.kind), legacy_copy.unchanged());
        let mut transactions = Vec::with_capacity(objects.len());
        let mut copied = Vec::with_capacity(objects.len());
        let mut asked = Vec::new();
        for (position, object) in objects.iter().enumerate() {
            // In this order: a copy made meanwhile by somebody else moved what it replaces.
            let target = self.in_legacy(object).await?;
            let source = self.unified.get(object, None).await?;
            if let Some(intents) = intents {
                // A writer that took the intent over may have written one of the two by now.
                let intent = self.intent(object).await?;
                if intent.is_none_or(|intent| intent.revision != intents[position]) {
                    copied.push(Copied::Busy);
                    continue;
                }
            }
            let (mut transaction, step) = self
                .equalise(
                    Side::Unified,
                    object,
                    source.as_ref(),
                    target.object.as_ref(),
                )
                .await?;
            if step.changed() {
                let copy = transaction.writes.drain(..);
                // No write has this name.
                let name = Revision::ZERO;
                let fenced = copy.flat_map(|write| self.fenced(write, target.base(), name, None));
                transaction.writes = [guard.clone()].into_iter().chain(fenced).collect();
                asked.push(copied.len());
                transactions.push(transaction);
            }
            copied.push(step);
        }
        let outcomes = self.commit_copies(Side::Legacy, transactions).await?;
        let newest = outcomes.iter().filter_map(Outcome::revision).max();
        for (position, outcome) in asked.into_iter().zip(outcomes) {
            self.bases.forget(&objects[position]);
            if outcome.revision().is_none() {
                copied[position] = Copied::Busy;
            }
        }
        Ok((copied, newest.unwrap_or(Revision::ZERO)))
    }

    /// Returns the transaction that makes `target` equal to `source`; empty if it is.
    async fn equalise(
        &self,
        from: Side,
        object: &ResourceKey,
        source: Option<&Stored>,
        target: Option<&Stored>,
    ) -> Result<(Transaction, Copied)> {
        if is_same(source, target) {
            return Ok((Transaction::default(), Copied::Equal));
        }
        let (op, of, step) = match (source, target) {
            (Some(source), _) => (
                Op::Put(source.value.clone()),
                Some(source.clone()),
                Copied::Put,
            ),
            (None, _) => {
                let record = self.newest_record(from, object).await?;
                if record
                    .as_ref()
                    .is_some_and(|it| it.kind != ChangeKind::Deleted)
                {
                    // Created again since it was read.
                    return Ok((Transaction::default(), Copied::Busy));
                }
                let value = record.as_ref().map(|record| record.value.clone());
                let value = value.or(target.map(|target| target.value.clone()));
                (
                    Op::Delete(value.unwrap_or_default()),
                    record,
                    Copied::Deleted,
                )
            }
        };
        let transaction = Transaction {
            writes: vec![Write {
                key: object.clone(),
                precondition: Precondition::Any,
                op,
            }],
            at_least: of.as_ref().map(|stored| stored.revision),
            operation: of
                .as_ref()
                .map(|stored| stored.operation)
                .unwrap_or_default(),
            time: of.as_ref().map(|stored| stored.time),
        };
        Ok((transaction, step))
    }

    /// Returns the newest revision of an object, or its deletion record, if the store keeps it. One
    /// call: between two the object may be created and deleted again.
    async fn newest_record(&self, side: Side, object: &ResourceKey) -> Result<Option<Stored>> {
        if object.is_internal() {
            return self.store(side).get(object, None).await;
        }
        let newest = ListQuery::history(Scope::Object(object.clone()), Order::Descending).limit(1);
        Ok(self.store(side).list(&newest).await?.items.pop())
    }

    /// Makes unified equal to what a caller saw in legacy. What the published design does; only for
    /// the planted fault.
    pub(crate) async fn copy_as_listed(
        &self,
        object: &ResourceKey,
        source: Option<&Stored>,
        target: Option<&Stored>,
    ) -> Result<Copied> {
        let (transaction, step) = self.equalise(Side::Legacy, object, source, target).await?;
        self.unified.commit_one(transaction).await?;
        Ok(step)
    }
}
