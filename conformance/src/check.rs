//! What a store must have shown, worked out from its changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use storage_core::{Change, ChangeKind, ResourceKey, Revision, Scope, Stored};

/// The states that a store went through, rebuilt from all its changes.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    changes: Vec<Arc<Change>>,
}

impl Replay {
    /// Takes all changes of a store, and checks that they are in order and fit together.
    #[track_caller]
    pub fn new(changes: Vec<Arc<Change>>) -> Self {
        let mut state: BTreeMap<&ResourceKey, &Stored> = BTreeMap::new();
        let mut last = Revision::ZERO;
        for change in &changes {
            let object = &change.object;
            assert!(object.revision >= last, "{object:?} after {last}");
            last = object.revision;
            let before = state.get(&object.key).copied();
            check_change(change, before);
            match object.kind {
                ChangeKind::Deleted => state.remove(&object.key),
                ChangeKind::Created | ChangeKind::Updated => state.insert(&object.key, object),
            };
        }
        Self { changes }
    }

    /// Returns the objects that existed at a revision.
    #[must_use]
    pub fn state_at(&self, at: Revision) -> BTreeMap<ResourceKey, Stored> {
        let mut state = BTreeMap::new();
        let until = self.changes.iter().take_while(|c| c.object.revision <= at);
        for object in until.map(|change| &change.object) {
            match object.kind {
                ChangeKind::Deleted => state.remove(&object.key),
                ChangeKind::Created | ChangeKind::Updated => {
                    state.insert(object.key.clone(), object.clone())
                }
            };
        }
        state
    }

    /// Returns the list of a scope at a revision.
    #[must_use]
    pub fn list_at(&self, scope: &Scope, at: Revision) -> Vec<Stored> {
        let state = self.state_at(at).into_values();
        state.filter(|stored| scope.contains(&stored.key)).collect()
    }

    /// Returns the changes.
    #[must_use]
    pub fn changes(&self) -> &[Arc<Change>] {
        &self.changes
    }
}

/// Checks that a change follows from the state before it.
#[track_caller]
fn check_change(change: &Change, before: Option<&Stored>) {
    let object = &change.object;
    let previous = change.previous.as_ref().map(|p| (p.revision, &p.value));
    assert_eq!(
        previous,
        before.map(|b| (b.revision, &b.value)),
        "previous of {object:?}"
    );
    match (object.kind, before) {
        (ChangeKind::Created, None) => assert_eq!(object.created, object.revision),
        (ChangeKind::Updated | ChangeKind::Deleted, Some(before)) => {
            assert!(object.revision > before.revision, "{object:?} twice");
            assert_eq!(object.created, before.created);
        }
        (_, before) => panic!("{object:?} after {before:?}"),
    }
}
