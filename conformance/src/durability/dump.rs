use std::sync::Arc;

use storage_core::{
    Change, ChangesQuery, ErrorKind, INTERNAL_GROUP, ListQuery, Order, ResourceStats, Result,
    Revision, Scope, StorageBackend, StorageBackendExt, Stored,
};

/// All that a store answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump {
    /// The newest revision.
    pub head: Revision,
    live: Vec<Stored>,
    history: Vec<Stored>,
    trash: Vec<Stored>,
    internal: Vec<Stored>,
    /// The oldest revision after which changes are kept, and these changes.
    horizon: Revision,
    changes: Vec<Arc<Change>>,
    stats: Vec<ResourceStats>,
}

impl Dump {
    /// Reads all of a store.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn of(store: &dyn StorageBackend) -> Result<Self> {
        let head = *store.head().borrow();
        let (horizon, changes) = changes(store).await?;
        Ok(Self {
            head,
            live: store.list_all(ListQuery::live(Scope::All)).await?,
            history: store
                .list_all(ListQuery::history(Scope::All, Order::Ascending))
                .await?,
            trash: store.list_all(ListQuery::trash(Scope::All)).await?,
            internal: store
                .list_all(ListQuery::live(Scope::group(INTERNAL_GROUP)))
                .await?,
            horizon,
            changes,
            stats: store.stats(&Scope::All).await?,
        })
    }

    /// Says what differs.
    #[must_use]
    pub fn difference(&self, other: &Self) -> String {
        let parts = [
            ("live", self.live == other.live),
            ("history", self.history == other.history),
            ("trash", self.trash == other.trash),
            ("internal", self.internal == other.internal),
            ("horizon", self.horizon == other.horizon),
            ("changes", self.changes == other.changes),
            ("stats", self.stats == other.stats),
        ];
        let differing = parts.iter().filter(|(_, same)| !same);
        let names: Vec<_> = differing.map(|(name, _)| *name).collect();
        names.join(", ")
    }
}

/// Finds the horizon by halving: changes after it are kept, after what is below it they are not.
async fn changes(store: &dyn StorageBackend) -> Result<(Revision, Vec<Arc<Change>>)> {
    let head = *store.head().borrow();
    let (mut expired, mut kept) = (None, head.get());
    loop {
        let low = expired.map_or(0, |revision: u64| revision + 1);
        if low >= kept {
            break;
        }
        let middle = low + (kept - low) / 2;
        let query = ChangesQuery::new(Scope::All, Revision::new(middle)).limit(1);
        match store.changes(&query).await {
            Ok(_) => kept = middle,
            Err(error) if error.kind() == ErrorKind::Expired => expired = Some(middle),
            Err(error) => return Err(error),
        }
    }
    let horizon = Revision::new(kept);
    let all = ChangesQuery::new(Scope::All, horizon);
    Ok((horizon, store.changes(&all).await?.changes))
}
