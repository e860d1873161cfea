//! The storage trait of unistore, its types, its specification in memory, and the layers that
//! need nothing but the trait.
//!
//! Read in this order: [`ResourceKey`] names an object, [`Revision`] orders commits,
//! [`Transaction`] changes a store, [`ListQuery`] and [`ChangesQuery`] read it,
//! [`StorageBackend`] is what every store promises, [`Memory`] is those promises as a program.
//! [`StorageBackendExt`] adds the comfort (`create`, `update`, `list_all`, …) and [`watch()`] the
//! event stream; both are written once, on the trait.
//!
//! Nothing here knows an engine, SQL, HTTP or what a Kubernetes object is: a value is bytes.

pub mod limits;

mod clock;
mod error;
mod key;
mod revision;
mod scope;

mod change;
mod read;
mod retention;
mod stats;
mod write;

mod backend;
mod ext;
mod memory;
mod watch;

pub mod layer;

pub use backend::{BackendInfo, Durability, Sharing, StorageBackend};
pub use change::{Change, Changes, ChangesQuery, Previous};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use error::{Error, ErrorKind, Result};
pub use ext::StorageBackendExt;
pub use key::{INTERNAL_GROUP, KEY_SEPARATOR, ResourceKey};
pub use memory::Memory;
pub use read::{Cursor, ListQuery, Order, Page, Source, Stored};
pub use retention::{Compacted, Retention};
pub use revision::Revision;
pub use scope::Scope;
pub use stats::ResourceStats;
pub use watch::{WatchEvent, WatchQuery, watch};
pub use write::{ChangeKind, Conflict, Op, OperationId, Outcome, Precondition, Transaction, Write};
