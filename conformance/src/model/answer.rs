use std::collections::BTreeMap;
use std::fmt;

use storage_core::{Change, Conflict, Outcome, Precondition, Previous, Revision, Stored};

/// What differs, as text; the run adds at which operation.
pub(super) type Checked<T = ()> = Result<T, String>;

/// Checks that two answers are the same.
pub(super) fn same<T: PartialEq + fmt::Debug>(what: &str, store: &T, model: &T) -> Checked {
    if store == model {
        return Ok(());
    }
    Err(format!(
        "{what}: the store says\n{store:#?}\nthe model says\n{model:#?}"
    ))
}

/// Checks a condition.
pub(super) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

/// Which revision of the store stands for which of the model.
#[derive(Debug)]
pub(super) struct Revisions {
    to_model: BTreeMap<Revision, Revision>,
    /// Store and model, oldest first.
    seen: Vec<(Revision, Revision)>,
}

impl Revisions {
    pub(super) fn new(store: Revision, model: Revision) -> Self {
        Self {
            to_model: BTreeMap::from([(store, model)]),
            seen: vec![(store, model)],
        }
    }

    /// Adds what a commit was told by both.
    pub(super) fn add(&mut self, store: Revision, model: Revision) -> Checked {
        let (last_store, last_model) = self.newest();
        let rises = store > last_store && model > last_model;
        let stays = store >= last_store && model == last_model;
        ensure(rises || stays, || {
            format!(
                "committed at {store} after {last_store}, the model at {model} after {last_model}"
            )
        })?;
        // A backend may use revisions of its own for a transaction that changes nothing.
        if rises {
            self.to_model.insert(store, model);
            self.seen.push((store, model));
        }
        Ok(())
    }

    pub(super) fn newest(&self) -> (Revision, Revision) {
        self.seen[self.seen.len() - 1]
    }

    /// Returns a pair, counted back from the newest, round and round.
    pub(super) fn back(&self, count: u8) -> (Revision, Revision) {
        self.seen[self.seen.len() - 1 - usize::from(count) % self.seen.len()]
    }

    pub(super) fn all(&self) -> &[(Revision, Revision)] {
        &self.seen
    }

    /// Returns the newest revision of the model that a revision of the store covers.
    pub(super) fn covered(&self, store: Revision) -> Revision {
        let covered = self.to_model.range(..=store).next_back();
        covered.map_or(Revision::ZERO, |(_, model)| *model)
    }

    fn exact(&self, store: Revision) -> Checked<Revision> {
        let exact = self.to_model.get(&store).copied();
        exact.ok_or_else(|| format!("revision {store} is of no commit"))
    }

    pub(super) fn stored(&self, store: &Stored) -> Checked<Stored> {
        Ok(Stored {
            revision: self.exact(store.revision)?,
            created: self.exact(store.created)?,
            ..store.clone()
        })
    }

    pub(super) fn all_stored(&self, store: &[Stored]) -> Checked<Vec<Stored>> {
        store.iter().map(|stored| self.stored(stored)).collect()
    }

    pub(super) fn change(&self, store: &Change) -> Checked<Change> {
        let previous = |previous: &Previous| {
            Ok::<_, String>(Previous {
                revision: self.exact(previous.revision)?,
                value: previous.value.clone(),
            })
        };
        Ok(Change {
            object: self.stored(&store.object)?,
            previous: store.previous.as_ref().map(previous).transpose()?,
        })
    }

    /// Translates a conflict; a commit adds its revision instead.
    pub(super) fn outcome(&mut self, store: &Outcome, model: &Outcome) -> Checked {
        match (store, model) {
            (Outcome::Committed { revision: store }, Outcome::Committed { revision: model }) => {
                self.add(*store, *model)
            }
            (Outcome::Conflict(store), Outcome::Conflict(model)) => {
                same("conflict", &self.conflict(store)?, model)
            }
            _ => Err(format!(
                "outcome: the store says {store:?}, the model says {model:?}"
            )),
        }
    }

    fn conflict(&self, store: &Conflict) -> Checked<Conflict> {
        let expected = match store.expected {
            Precondition::Revision(revision) => Precondition::Revision(self.exact(revision)?),
            other => other,
        };
        Ok(Conflict {
            key: store.key.clone(),
            expected,
            actual: store
                .actual
                .map(|revision| self.exact(revision))
                .transpose()?,
        })
    }
}
