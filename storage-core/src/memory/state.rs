use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::{
    Change, ChangeKind, Changes, ChangesQuery, Conflict, Cursor, Error, ErrorKind, ListQuery, Op,
    Order, Outcome, Page, Previous, ResourceKey, ResourceStats, Result, Revision, Scope, Source,
    Stored, Timestamp, Transaction, Write,
};

/// Everything a store holds. No clock, no lock, no chance: the same calls give the same answers.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) head: Revision,
    /// Reads below it and changes after anything below it are expired.
    pub(super) horizon: Revision,
    /// The revisions that are kept of each object, oldest first. The last one is the newest.
    pub(super) records: BTreeMap<ResourceKey, VecDeque<Stored>>,
    /// The control records: newest value only.
    internal: BTreeMap<ResourceKey, Stored>,
    /// The changes after the horizon, and those at it that a compaction has yet to remove.
    pub(super) changes: VecDeque<Arc<Change>>,
    /// The deleted objects, by the revision that deleted them.
    pub(super) trash: BTreeSet<(Revision, ResourceKey)>,
    counts: BTreeMap<[Arc<str>; 3], u64>,
}

impl State {
    pub(super) fn commit(&mut self, transaction: Transaction, now: Timestamp) -> Outcome {
        if let Some(conflict) = self.first_conflict(&transaction.writes) {
            return Outcome::Conflict(conflict);
        }
        let raise = transaction.at_least.unwrap_or(Revision::ZERO);
        let changes_something = transaction.writes.iter().any(|w| self.changes_something(w));
        if !changes_something {
            self.head = self.head.max(raise);
            return Outcome::Committed {
                revision: self.head,
            };
        }
        self.head = self.head.next().max(raise);
        let mut template = Template {
            revision: self.head,
            time: transaction.time.unwrap_or(now),
            operation: transaction.operation,
        };
        for write in transaction.writes {
            self.apply(write, &mut template);
        }
        Outcome::Committed {
            revision: self.head,
        }
    }

    fn first_conflict(&self, writes: &[Write]) -> Option<Conflict> {
        writes.iter().find_map(|write| {
            let actual = self.newest(&write.key).map(|stored| stored.revision);
            let conflict = || Conflict {
                key: write.key.clone(),
                expected: write.precondition,
                actual,
            };
            (!write.precondition.holds(actual)).then(conflict)
        })
    }

    fn changes_something(&self, write: &Write) -> bool {
        match write.op {
            Op::Put(_) => true,
            Op::Delete(_) => self.newest(&write.key).is_some(),
            Op::Check => false,
        }
    }

    fn apply(&mut self, write: Write, template: &mut Template) {
        let current = self.newest(&write.key).cloned();
        let (kind, value) = match (write.op, &current) {
            (Op::Put(value), None) => (ChangeKind::Created, value),
            (Op::Put(value), Some(_)) => (ChangeKind::Updated, value),
            (Op::Delete(record), Some(_)) => (ChangeKind::Deleted, record),
            (Op::Delete(_), None) | (Op::Check, _) => return,
        };
        let stored = Stored {
            key: write.key,
            kind,
            revision: template.revision,
            created: current
                .as_ref()
                .map_or(template.revision, |current| current.created),
            value,
            time: template.time,
            operation: template.operation,
        };
        if stored.key.is_internal() {
            self.apply_internal(stored);
        } else {
            self.record(stored, current);
        }
    }

    fn apply_internal(&mut self, stored: Stored) {
        match stored.kind {
            ChangeKind::Deleted => self.internal.remove(&stored.key),
            ChangeKind::Created | ChangeKind::Updated => {
                self.internal.insert(stored.key.clone(), stored)
            }
        };
    }

    fn record(&mut self, stored: Stored, before: Option<Stored>) {
        match stored.kind {
            ChangeKind::Created => {
                let last = self.records.get(&stored.key).and_then(VecDeque::back);
                if let Some(deleted) = last {
                    self.trash.remove(&(deleted.revision, stored.key.clone()));
                }
                *self.counts.entry(count_key(&stored.key)).or_default() += 1;
            }
            ChangeKind::Updated => {}
            ChangeKind::Deleted => {
                self.trash.insert((stored.revision, stored.key.clone()));
                self.count_down(&stored.key);
            }
        }
        let previous = before.map(|b| Previous {
            revision: b.revision,
            value: b.value,
        });
        self.changes.push_back(Arc::new(Change {
            object: stored.clone(),
            previous,
        }));
        self.records
            .entry(stored.key.clone())
            .or_default()
            .push_back(stored);
    }

    fn count_down(&mut self, key: &ResourceKey) {
        let key = count_key(key);
        if let Some(count) = self.counts.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&key);
            }
        }
    }

    /// Returns the object if it exists.
    fn newest(&self, key: &ResourceKey) -> Option<&Stored> {
        if key.is_internal() {
            return self.internal.get(key);
        }
        self.records
            .get(key)?
            .back()
            .filter(|stored| stored.kind != ChangeKind::Deleted)
    }

    pub(super) fn get(&self, key: &ResourceKey, at: Option<Revision>) -> Result<Option<Stored>> {
        let Some(at) = at else {
            return Ok(self.newest(key).cloned());
        };
        if key.is_internal() {
            return Err(Error::invalid(
                "get",
                "the internal group has no old revisions",
            ));
        }
        self.not_in_the_future("get", at)?;
        match self.newest_at(key, at) {
            Some(stored) if stored.kind == ChangeKind::Deleted => Ok(None),
            Some(stored) => Ok(Some(stored.clone())),
            None => self.not_expired("get", at).map(|()| None),
        }
    }

    fn newest_at(&self, key: &ResourceKey, at: Revision) -> Option<&Stored> {
        self.records
            .get(key)?
            .iter()
            .rev()
            .find(|stored| stored.revision <= at)
    }

    pub(super) fn list(&self, query: &ListQuery) -> Result<Page> {
        let cursor = query.cursor.as_ref();
        let revision = cursor.map(|c| c.revision).or(query.at).unwrap_or(self.head);
        self.not_in_the_future("list", revision)?;
        let page = |items: &mut dyn Iterator<Item = &Stored>| page(query, revision, items);
        if query.scope.is_internal() {
            return Ok(page(&mut in_scope(&self.internal, query)));
        }
        let objects = in_scope(&self.records, query);
        match query.source {
            Source::Live => {
                self.not_expired("list", revision)?;
                let newest = |records: &'_ VecDeque<Stored>| {
                    records
                        .iter()
                        .rposition(|stored| stored.revision <= revision)
                };
                let mut live = objects
                    .filter_map(|records| records.get(newest(records)?))
                    .filter(|stored| stored.kind != ChangeKind::Deleted);
                Ok(page(&mut live))
            }
            Source::History => {
                let mut history = objects
                    .flat_map(|records| ordered(records, query.order))
                    .filter(|stored| stored.revision <= revision);
                Ok(page(&mut history))
            }
            Source::Trash => {
                let mut trash = objects
                    .filter_map(VecDeque::back)
                    .filter(|s| s.kind == ChangeKind::Deleted && s.revision <= revision);
                Ok(page(&mut trash))
            }
        }
    }

    pub(super) fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        self.not_in_the_future("changes", query.after)?;
        self.not_expired("changes", query.after)?;
        let first = self
            .changes
            .partition_point(|c| c.object.revision <= query.after);
        let mut answer = Changes {
            changes: Vec::new(),
            through: self.head,
        };
        let mut bytes = 0;
        for change in self.changes.range(first..) {
            if !query.scope.contains(&change.object.key) {
                continue;
            }
            let full = answer.changes.len() >= query.changes_max() || bytes >= query.bytes_max();
            let last = answer
                .changes
                .last()
                .map(|last: &Arc<Change>| last.object.revision);
            if let Some(last) = last.filter(|last| full && *last != change.object.revision) {
                answer.through = last;
                break;
            }
            bytes += change.object.value.len();
            answer.changes.push(Arc::clone(change));
        }
        Ok(answer)
    }

    pub(super) fn stats(&self, scope: &Scope) -> Result<Vec<ResourceStats>> {
        scope.validate()?;
        if scope.is_internal() || matches!(scope, Scope::Object(_)) {
            return Err(Error::invalid("stats", format!("{scope} has no counts")));
        }
        let parts = scope.parts();
        let counts = self.counts.iter().filter(|(key, _)| {
            parts
                .iter()
                .zip(key.iter())
                .all(|(part, of_key)| *part == &**of_key)
        });
        Ok(counts
            .map(|([group, resource, namespace], count)| ResourceStats {
                group: Arc::clone(group),
                resource: Arc::clone(resource),
                namespace: Arc::clone(namespace),
                count: *count,
            })
            .collect())
    }

    fn not_in_the_future(&self, operation: &'static str, revision: Revision) -> Result<()> {
        if revision > self.head {
            let context = format!(
                "revision {revision} is newer than the store's {}",
                self.head
            );
            return Err(Error::new(ErrorKind::FutureRevision, operation, context));
        }
        Ok(())
    }

    fn not_expired(&self, operation: &'static str, revision: Revision) -> Result<()> {
        if revision < self.horizon {
            let context = format!("revision {revision} is below the horizon {}", self.horizon);
            return Err(Error::new(ErrorKind::Expired, operation, context));
        }
        Ok(())
    }
}

/// What all records of one transaction have in common.
struct Template {
    revision: Revision,
    time: Timestamp,
    operation: crate::OperationId,
}

fn count_key(key: &ResourceKey) -> [Arc<str>; 3] {
    [
        key.group().into(),
        key.resource().into(),
        key.namespace().into(),
    ]
}

fn in_scope<'a, V>(
    map: &'a BTreeMap<ResourceKey, V>,
    query: &'a ListQuery,
) -> impl Iterator<Item = &'a V> {
    let first = match &query.cursor {
        Some(cursor) => cursor.key.clone(),
        None => ResourceKey::lower_bound(&query.scope.parts()),
    };
    let in_scope = |(key, _): &(&'a ResourceKey, &'a V)| query.scope.contains(key);
    map.range(first..)
        .take_while(in_scope)
        .map(|(_, value)| value)
}

fn ordered(records: &VecDeque<Stored>, order: Order) -> Box<dyn Iterator<Item = &Stored> + '_> {
    match order {
        Order::Ascending => Box::new(records.iter()),
        Order::Descending => Box::new(records.iter().rev()),
    }
}

fn page(query: &ListQuery, revision: Revision, items: &mut dyn Iterator<Item = &Stored>) -> Page {
    let mut rest =
        items.skip_while(|item| query.cursor.as_ref().is_some_and(|c| !is_after(item, c)));
    let mut page = Page {
        items: Vec::new(),
        revision,
        next: None,
    };
    let mut bytes = 0;
    for item in rest.by_ref() {
        bytes += item.value.len();
        page.items.push(item.clone());
        if page.items.len() >= query.items_max() || bytes >= query.bytes_max() {
            break;
        }
    }
    if rest.next().is_some() {
        page.next = page.items.last().map(|last| Cursor {
            source: query.source,
            order: query.order,
            revision,
            key: last.key.clone(),
            item: last.revision,
        });
    }
    page
}

fn is_after(item: &Stored, cursor: &Cursor) -> bool {
    if item.key != cursor.key {
        return item.key > cursor.key;
    }
    match (cursor.source, cursor.order) {
        (Source::Live | Source::Trash, _) => false,
        (Source::History, Order::Ascending) => item.revision > cursor.item,
        (Source::History, Order::Descending) => item.revision < cursor.item,
    }
}
