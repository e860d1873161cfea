//! The verbs, one file each.

mod commit;
mod continue_token;
mod create;
mod delete;
mod delete_collection;
mod get;
mod list;
mod list_parameters;
mod patch;
mod restore;
mod rivals;
mod scan;
mod update;
mod wait;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use storage_core::{Clock, Revision, StorageBackend, Stored, SystemClock};

use crate::kind::Kind;
use crate::{Kinds, Object, OsRandom, Random, Result};

pub use continue_token::TokenKey;
pub use delete::Deletion;
pub use get::GetParameters;
pub use list::ObjectList;
pub use list_parameters::ListParameters;
pub use patch::Patch;
pub use watch::{Bookmark, Watch, WatchEvent};

/// How often a watch that asked for bookmarks gets one while there is something to say.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// How long a read waits for a revision that the store has not reached.
const FUTURE_REVISION_WAIT: Duration = Duration::from_secs(3);

/// What [`Objects`] needs besides a store and kinds.
#[derive(Clone, Debug)]
pub struct ObjectsOptions {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes names, uids and operation ids.
    pub random: Arc<dyn Random>,
    /// Signs continue tokens.
    pub token_key: TokenKey,
    /// How often a watch that asked for bookmarks gets one while there is something to say.
    pub bookmark_interval: Duration,
    /// How long a read waits for a revision that the store has not reached.
    pub future_revision_wait: Duration,
}

impl ObjectsOptions {
    /// Returns the options of a server: the machine's clock and randomness.
    #[must_use]
    pub fn new(token_key: TokenKey) -> Self {
        Self {
            clock: Arc::new(SystemClock),
            random: Arc::new(OsRandom),
            token_key,
            bookmark_interval: BOOKMARK_INTERVAL,
            future_revision_wait: FUTURE_REVISION_WAIT,
        }
    }
}

/// The objects of all kinds in a store. Clones are the same.
#[derive(Clone, Debug)]
pub struct Objects(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    backend: Arc<dyn StorageBackend>,
    kinds: Arc<Kinds>,
    options: ObjectsOptions,
}

impl Objects {
    /// Serves the objects of a store.
    #[must_use]
    pub fn new(
        backend: Arc<dyn StorageBackend>,
        kinds: Arc<Kinds>,
        options: ObjectsOptions,
    ) -> Self {
        Self(Arc::new(Inner {
            backend,
            kinds,
            options,
        }))
    }

    /// Returns the kinds.
    #[must_use]
    pub fn kinds(&self) -> &Arc<Kinds> {
        &self.0.kinds
    }

    /// Returns the store.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn StorageBackend> {
        &self.0.backend
    }

    /// Returns the clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.options.clock
    }

    fn random(&self) -> &dyn Random {
        &*self.0.options.random
    }

    fn head(&self) -> Revision {
        *self.0.backend.head().borrow()
    }
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The object as it is now; without a version if it was not stored.
    pub object: Object,
    /// What happened.
    pub effect: Effect,
    /// What the client should be told besides.
    pub warnings: Vec<String>,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The object did not exist before.
    Created,
    /// It was changed.
    Updated,
    /// It was like that already: nothing was written, the version is the old one.
    Unchanged,
    /// Its last finalizer went while it was being deleted: it is gone.
    Removed,
}

fn shown(kind: &Arc<Kind>, stored: Stored) -> Result<Object> {
    Object::from_stored(Arc::clone(kind), stored)
}
