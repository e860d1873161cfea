//! Every limit of this crate, by name. A request beyond one is refused with a clear message and
//! nothing is written.

use std::time::Duration;

/// Largest request body, in bytes.
pub const BODY_BYTES_MAX: usize = 3 << 20;
/// Largest object as it is stored, in bytes; below the storage trait's own limit, so that a
/// deletion record (the object and a timestamp) always fits too.
pub const OBJECT_BYTES_MAX: usize = 3 << 20;
/// Most bytes in the keys and values of all annotations.
pub const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;

/// Deepest nesting of arrays and objects in a JSON text.
pub const JSON_DEPTH_MAX: usize = 100;
/// Most values in a JSON text, counting each array, object and scalar.
pub const JSON_NODES_MAX: usize = 1_000_000;
/// Most duplicate and most unknown fields that an answer names.
pub const FIELD_PROBLEMS_MAX: usize = 100;
/// Most causes that a refusal of an invalid object names.
pub const CAUSES_MAX: usize = 100;

/// Most operations in a JSON patch.
pub const PATCH_OPERATIONS_MAX: usize = 10_000;
/// Most bytes that the `copy` operations of a JSON patch may add.
pub const PATCH_COPY_BYTES_MAX: usize = 3 << 20;
/// Most values that the operations of a JSON patch may move or put in place.
pub const PATCH_MOVED_VALUES_MAX: usize = 20_000_000;
/// How long a write without a precondition of its own, such as a patch, is tried again while other
/// writers of the object are faster.
pub const CONFLICT_PATIENCE: Duration = Duration::from_secs(30);
/// Longest pause between two such attempts.
pub const CONFLICT_PAUSE_MAX: Duration = Duration::from_millis(50);

/// Longest name of who manages fields, in bytes.
pub const FIELD_MANAGER_BYTES_MAX: usize = 128;

/// Longest label or field selector, in bytes.
pub const SELECTOR_BYTES_MAX: usize = 64 << 10;
/// Most requirements in one selector.
pub const SELECTOR_REQUIREMENTS_MAX: usize = 256;
/// Most values in one `in` or `notin`.
pub const SELECTOR_VALUES_MAX: usize = 1_000;
/// Longest continue token, in characters.
pub const CONTINUE_TOKEN_CHARS_MAX: usize = 4 << 10;

/// Longest name of an object, in bytes.
pub const NAME_BYTES_MAX: usize = 253;
/// Longest namespace, in bytes: a DNS label.
pub const NAMESPACE_BYTES_MAX: usize = 63;
/// Longest name part of a label or annotation key, and longest label value, in bytes.
pub const LABEL_BYTES_MAX: usize = 63;
/// How much of `generateName` goes into a generated name.
pub const GENERATED_BASE_BYTES_MAX: usize = 58;
/// How many names a create with `generateName` tries.
pub const GENERATED_NAME_TRIES_MAX: usize = 8;

/// Most objects that a collection is deleted in at the same time.
pub const DELETE_CONCURRENCY_MAX: usize = 16;
/// Bytes of objects after which a page of a list ends, whatever its limit; what follows is on the
/// next page. A list without a limit has one page.
pub const LIST_PAGE_BYTES_MAX: usize = 16 << 20;
/// Bytes of objects that a watch holds while it sends what exists.
pub const WATCH_PAGE_BYTES_MAX: usize = 1 << 20;
/// Objects that one page read from the store holds while a selector is applied.
pub const SCAN_PAGE_ITEMS_MAX: usize = 1_000;
