use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub(super) const REQUESTS: &str = "unistore_storage_requests_total";
pub(super) const DURATION: &str = "unistore_storage_request_duration_seconds";
pub(super) const IN_FLIGHT: &str = "unistore_storage_requests_in_flight";
pub(super) const TRANSACTIONS: &str = "unistore_storage_commit_transactions";
pub(super) const CONFLICTS: &str = "unistore_storage_conflicts_total";
pub(super) const ITEMS: &str = "unistore_storage_items_total";
pub(super) const COMPACTED: &str = "unistore_storage_compacted_total";
pub(super) const HEAD: &str = "unistore_storage_head_revision";
pub(super) const HORIZON: &str = "unistore_storage_horizon_revision";

/// Transactions per commit of a group.
pub(in crate::layer) const GROUP: &str = "unistore_group_commit_transactions";
/// Who answered `changes`.
pub(in crate::layer) const RECALLED: &str = "unistore_change_cache_requests_total";
/// Changes in memory.
pub(in crate::layer) const CACHED_CHANGES: &str = "unistore_change_cache_changes";
/// Bytes of changes in memory.
pub(in crate::layer) const CACHED_BYTES: &str = "unistore_change_cache_bytes";

/// Describes the metrics of all layers to the recorder that is installed.
pub fn describe() {
    describe_counter!(REQUESTS, "Storage calls that ended.");
    describe_histogram!(DURATION, Unit::Seconds, "How long storage calls took.");
    describe_gauge!(IN_FLIGHT, "Storage calls that have not ended.");
    describe_histogram!(TRANSACTIONS, "Transactions per call of commit.");
    describe_counter!(CONFLICTS, "Transactions refused by a precondition.");
    describe_counter!(
        ITEMS,
        "Items on pages, changes and counts that were answered."
    );
    describe_counter!(COMPACTED, "Records that compaction dropped.");
    describe_gauge!(HEAD, "The newest revision of the store.");
    describe_gauge!(HORIZON, "Reads below this revision are expired.");
    describe_histogram!(GROUP, "Transactions per commit of a group.");
    describe_counter!(RECALLED, "Who answered a query for changes.");
    describe_gauge!(CACHED_CHANGES, "Recent changes in memory.");
    describe_gauge!(
        CACHED_BYTES,
        Unit::Bytes,
        "Bytes of the recent changes in memory."
    );
}
