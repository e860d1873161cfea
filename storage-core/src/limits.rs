//! Every limit of the storage trait, by name. A request beyond one is refused with
//! [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) or
//! [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) and nothing is written.

use std::time::Duration;

/// Longest group, in bytes.
pub const GROUP_BYTES_MAX: usize = 253;
/// Longest resource, in bytes.
pub const RESOURCE_BYTES_MAX: usize = 253;
/// Longest namespace, in bytes.
pub const NAMESPACE_BYTES_MAX: usize = 253;
/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 253;

/// Largest value of an object, in bytes.
pub const VALUE_BYTES_MAX: usize = 4 << 20;
/// Largest value of a record in the internal group: a value and what a journal adds to it.
pub const INTERNAL_VALUE_BYTES_MAX: usize = VALUE_BYTES_MAX + (64 << 10);

/// Most writes of objects in one transaction.
pub const WRITES_PER_TRANSACTION_MAX: usize = 128;
/// Most writes of internal records in one transaction: a journal adds a few for each write, and
/// one journal may stand on another.
pub const INTERNAL_WRITES_PER_TRANSACTION_MAX: usize = 2048;
/// Most transactions in one call of `commit`.
pub const TRANSACTIONS_PER_COMMIT_MAX: usize = 1024;
/// Most value bytes of objects in one call of `commit`.
pub const COMMIT_BYTES_MAX: usize = 32 << 20;
/// Most value bytes of internal records in one call of `commit`: the same and what a journal adds.
pub const INTERNAL_COMMIT_BYTES_MAX: usize = COMMIT_BYTES_MAX + (1 << 20);

/// Most items on one page, and the page size when a query names none.
pub const PAGE_ITEMS_MAX: usize = 10_000;
/// Value bytes after which a page ends, and the size when a query names none.
/// A page always holds at least one item, however large.
pub const PAGE_BYTES_MAX: usize = 16 << 20;

/// Most changes in one answer of `changes`, and the number when a query names none.
/// The last revision in an answer is always whole, so an answer may exceed it by one transaction.
pub const CHANGES_MAX: usize = 10_000;
/// Value bytes after which an answer of `changes` ends at the next whole revision.
pub const CHANGES_BYTES_MAX: usize = 16 << 20;

/// Most log records, history records and trashed objects that one step of `compact` looks at.
pub const COMPACT_STEP_MAX: usize = 10_000;

/// Most changes that one watch holds, and the number when a query names none.
/// The last revision held is always whole, so a watch may hold one transaction more.
pub const WATCH_BUFFER_CHANGES_MAX: usize = 1_000;
/// Value bytes after which a watch holds no further revision, and the number when a query names
/// none.
pub const WATCH_BUFFER_BYTES_MAX: usize = 2 << 20;

/// Most transactions that wait in the queue of a group commit.
pub const GROUP_COMMIT_QUEUE_TRANSACTIONS_MAX: usize = 4 * TRANSACTIONS_PER_COMMIT_MAX;
/// Most bytes of keys and values that wait in the queue of a group commit.
pub const GROUP_COMMIT_QUEUE_BYTES_MAX: usize = 2 * COMMIT_BYTES_MAX;
/// Most callers that wait for room in the queue of a group commit.
pub const GROUP_COMMIT_WAITING_MAX: usize = 4096;
/// How long a group commit waits for the next one of the callers that were just answered to come
/// back.
pub const GROUP_COMMIT_REGROUP: Duration = Duration::from_micros(50);

/// Most recent changes that a change cache keeps.
pub const CHANGE_CACHE_CHANGES_MAX: usize = 10_000;
/// Most bytes of recent changes that a change cache keeps.
pub const CHANGE_CACHE_BYTES_MAX: usize = 16 << 20;
