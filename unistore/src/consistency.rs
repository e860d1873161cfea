//! Verifies a store through the trait alone: what each engine must hold, whatever its rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use storage_core::{
    ChangeKind, ChangesQuery, ErrorKind, ListQuery, Order, ResourceKey, Result, Retention,
    Revision, Scope, StorageBackend, Stored,
};

use crate::scan::scan;

/// What a check of a store saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consistency {
    /// Objects that exist.
    pub objects: u64,
    /// Revisions in the history, deletions included.
    pub history: u64,
    /// Deleted objects in the trash.
    pub trash: u64,
    /// Changes that can still be read.
    pub changes: u64,
    /// The newest revision at the start.
    pub revision: Revision,
    /// Whether the store was written to meanwhile, so that disagreements may be none.
    pub disturbed: bool,
    /// What disagrees, each a sentence.
    pub disagreements: Vec<String>,
}

/// Verifies that the objects, history, trash, changes and counts of a store agree.
///
/// # Errors
/// As the calls of [`StorageBackend`] that read.
pub async fn check(store: &dyn StorageBackend) -> Result<Consistency> {
    let start = *store.head().borrow();
    let mut check = Check {
        report: Consistency {
            revision: start,
            ..Consistency::default()
        },
        counts: BTreeMap::new(),
        horizon: horizon(store).await?,
        recent: 0,
    };
    check.objects(store).await?;
    check.counts(store).await?;
    check.changes(store).await?;
    check.report.disturbed = *store.head().borrow() != start;
    Ok(check.report)
}

/// Group, resource and namespace.
type Place = (Arc<str>, Arc<str>, Arc<str>);

struct Check {
    report: Consistency,
    counts: BTreeMap<Place, u64>,
    horizon: Revision,
    /// Records of the history above the horizon: each must have a change.
    recent: u64,
}

/// A scan that knows its next record.
struct Records<'a> {
    rest: BoxStream<'a, Result<Stored>>,
    next: Option<Stored>,
}

impl<'a> Records<'a> {
    async fn of(store: &'a dyn StorageBackend, query: ListQuery) -> Result<Self> {
        let mut rest = scan(store, query).boxed();
        let next = rest.try_next().await?;
        Ok(Self { rest, next })
    }

    fn key(&self) -> Option<&ResourceKey> {
        self.next.as_ref().map(|stored| &stored.key)
    }

    /// Takes the next record if it is of this object.
    async fn take(&mut self, of: &ResourceKey) -> Result<Option<Stored>> {
        if self.key() != Some(of) {
            return Ok(None);
        }
        let next = self.rest.try_next().await?;
        Ok(std::mem::replace(&mut self.next, next))
    }
}

impl Check {
    /// Compares, object by object, the history with the object or its deletion record.
    async fn objects(&mut self, store: &dyn StorageBackend) -> Result<()> {
        let mut live = Records::of(store, ListQuery::live(Scope::All)).await?;
        let mut trash = Records::of(store, ListQuery::trash(Scope::All)).await?;
        let every = ListQuery::history(Scope::All, Order::Ascending);
        let mut history = Records::of(store, every).await?;
        loop {
            let next = [live.key(), trash.key(), history.key()];
            let Some(key) = next.into_iter().flatten().min().cloned() else {
                return Ok(());
            };
            let (live, trash) = (live.take(&key).await?, trash.take(&key).await?);
            let mut last = None;
            while let Some(record) = history.take(&key).await? {
                self.succession(last.as_ref(), &record);
                last = Some(record);
            }
            self.object(&key, live, trash, last);
        }
    }

    /// Checks a record of the history against the one before it.
    fn succession(&mut self, before: Option<&Stored>, record: &Stored) {
        self.report.history += 1;
        if record.revision > self.horizon {
            self.recent += 1;
        }
        if record.revision > self.report.revision {
            return;
        }
        let starts_a_life = record.created == record.revision;
        if starts_a_life != (record.kind == ChangeKind::Created) {
            self.disagree(
                record,
                "is a creation by its kind or by its revision, not by both",
            );
        }
        let Some(before) = before else { return };
        if before.revision >= record.revision {
            self.disagree(record, "does not follow the revision before it");
        }
        let was_deleted = before.kind == ChangeKind::Deleted;
        if was_deleted != (record.kind == ChangeKind::Created) {
            self.disagree(record, "does not fit the kind of the revision before it");
        }
        if !was_deleted && before.created != record.created {
            self.disagree(record, "is of another life than the revision before it");
        }
    }

    /// Checks an object against the last record of its history.
    fn object(
        &mut self,
        key: &ResourceKey,
        live: Option<Stored>,
        trash: Option<Stored>,
        last: Option<Stored>,
    ) {
        self.report.objects += u64::from(live.is_some());
        self.report.trash += u64::from(trash.is_some());
        if live.is_some() {
            let part = |text: &str| Arc::<str>::from(text);
            let place = (
                part(key.group()),
                part(key.resource()),
                part(key.namespace()),
            );
            *self.counts.entry(place).or_default() += 1;
        }
        if let (Some(_), Some(trash)) = (&live, &trash) {
            self.disagree(trash, "is in the trash, but the object exists");
        }
        let current = live.or(trash);
        if current != last
            && let Some(stored) = current.or(last)
        {
            let what = "is not what both the history and the current view end with";
            self.disagree(&stored, what);
        }
    }

    async fn counts(&mut self, store: &dyn StorageBackend) -> Result<()> {
        let mut counts = std::mem::take(&mut self.counts);
        for stats in store.stats(&Scope::All).await? {
            let place = (stats.group, stats.resource, stats.namespace);
            let seen = counts.remove(&place).unwrap_or(0);
            self.count(&place, seen, stats.count);
        }
        for (place, seen) in counts {
            self.count(&place, seen, 0);
        }
        Ok(())
    }

    fn count(&mut self, (group, resource, namespace): &Place, seen: u64, counted: u64) {
        if seen != counted {
            let text =
                format!("{group}/{resource}/{namespace}: {seen} objects, counted as {counted}");
            self.report.disagreements.push(text);
        }
    }

    /// Checks that each recent record of the history has its change, and each change its record.
    async fn changes(&mut self, store: &dyn StorageBackend) -> Result<()> {
        let mut after = self.horizon;
        let mut last = (self.horizon, None::<ResourceKey>);
        loop {
            let page = match store.changes(&ChangesQuery::new(Scope::All, after)).await {
                Ok(page) => page,
                // A compaction beside us moved the horizon: the rest cannot be compared.
                Err(error) if error.kind() == ErrorKind::Expired => return Ok(()),
                Err(error) => return Err(error),
            };
            for change in &page.changes {
                let object = &change.object;
                self.report.changes += 1;
                if object.revision < last.0 || last == (object.revision, Some(object.key.clone())) {
                    self.disagree(object, "is out of order among the changes");
                }
                if (object.kind == ChangeKind::Created) != change.previous.is_none() {
                    self.disagree(
                        object,
                        "has a change whose previous value does not fit its kind",
                    );
                }
                last = (object.revision, Some(object.key.clone()));
            }
            if page.through <= after || page.through >= self.report.revision {
                break;
            }
            after = page.through;
        }
        if self.report.changes != self.recent {
            let text = format!(
                "{} changes after revision {}, but {} revisions in the history",
                self.report.changes, self.horizon, self.recent
            );
            self.report.disagreements.push(text);
        }
        Ok(())
    }

    fn disagree(&mut self, stored: &Stored, what: &str) {
        let text = format!("{} at revision {} {what}", stored.key, stored.revision);
        self.report.disagreements.push(text);
    }
}

/// Asks where the readable past begins, by a compaction that drops nothing.
async fn horizon(store: &dyn StorageBackend) -> Result<Revision> {
    let keep_all = Retention {
        changes_age_max: None,
        changes_max: None,
        history_per_object: None,
        trash_age_max: None,
        step_max: 1,
        ..Retention::default()
    };
    Ok(store.compact(&keep_all).await?.horizon)
}
