use std::collections::BTreeMap;

use storage_core::{ChangeKind, ResourceKey, Retention, Revision, Stored, Timestamp};

/// The history of each object, oldest first, in the model's revisions.
pub(super) type Histories = BTreeMap<ResourceKey, Vec<Stored>>;

/// Groups a history list by object.
pub(super) fn by_object(items: Vec<Stored>) -> Histories {
    let mut histories = Histories::new();
    for item in items {
        histories.entry(item.key.clone()).or_default().push(item);
    }
    for history in histories.values_mut() {
        history.sort_by_key(|stored| stored.revision);
    }
    histories
}

/// What a store must still have after the compactions that it was asked for.
#[derive(Debug)]
pub(super) struct Kept {
    /// Reads at a lower revision of the store are expired.
    pub(super) horizon: Revision,
    /// By object, the oldest revision of the model that must be there. Older ones may be gone.
    oldest: BTreeMap<ResourceKey, Revision>,
}

impl Kept {
    /// Starts in a store that was compacted before.
    pub(super) fn above(horizon: Revision) -> Self {
        Self {
            horizon,
            oldest: BTreeMap::new(),
        }
    }

    /// Notes what a policy allows to drop; the horizon is the model's.
    pub(super) fn allow(
        &mut self,
        policy: &Retention,
        now: Timestamp,
        horizon: Revision,
        histories: &Histories,
    ) {
        for (key, history) in histories {
            let oldest = oldest_kept(policy, now, horizon, history);
            let known = self.oldest.entry(key.clone()).or_default();
            *known = oldest.max(*known);
        }
    }

    /// Tells whether a record must be there.
    pub(super) fn must_have(&self, record: &Stored) -> bool {
        self.oldest
            .get(&record.key)
            .is_none_or(|oldest| record.revision >= *oldest)
    }
}

/// The oldest revision of an object that a policy keeps.
fn oldest_kept(
    policy: &Retention,
    now: Timestamp,
    horizon: Revision,
    history: &[Stored],
) -> Revision {
    let (Some(first), Some(last)) = (history.first(), history.last()) else {
        return Revision::ZERO;
    };
    let too_old = |age| last.time <= now.saturating_sub(age);
    let deleted = last.kind == ChangeKind::Deleted && last.revision <= horizon;
    if deleted && policy.trash_age_max.is_some_and(too_old) {
        return last.revision.next();
    }
    let by_number = match policy.history_per_object {
        Some(count) => &history[history.len().saturating_sub(count.max(1))],
        None => first,
    };
    // What a read at the horizon shows, and everything after it.
    let reached = history
        .iter()
        .rev()
        .find(|stored| stored.revision <= horizon);
    let reached = reached.unwrap_or(first);
    by_number.revision.min(reached.revision)
}
