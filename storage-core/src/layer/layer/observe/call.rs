use tokio::time::Instant;

use super::name;
use crate::{Error, ErrorKind, Result};

/// A call under way. Counted however it ends: a caller that goes away drops it.
pub(super) struct Call {
    operation: &'static str,
    store: &'static str,
    started: Instant,
    result: &'static str,
}

impl Call {
    pub(super) fn begin(operation: &'static str, store: &'static str) -> Self {
        metrics::gauge!(name::IN_FLIGHT, "operation" => operation, "store" => store).increment(1);
        Self {
            operation,
            store,
            started: Instant::now(),
            result: "dropped",
        }
    }

    /// Returns the name of the result.
    pub(super) fn end<T>(mut self, result: &Result<T>) -> &'static str {
        self.result = match result {
            Ok(_) => "ok",
            Err(error) => {
                log(error);
                kind_name(error.kind())
            }
        };
        self.result
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let (operation, result, store) = (self.operation, self.result, self.store);
        metrics::gauge!(name::IN_FLIGHT, "operation" => operation, "store" => store).decrement(1);
        metrics::counter!(
            name::REQUESTS,
            "operation" => operation, "result" => result, "store" => store
        )
        .increment(1);
        metrics::histogram!(
            name::DURATION,
            "operation" => operation, "result" => result, "store" => store
        )
        .record(self.started.elapsed());
    }
}

fn log(error: &Error) {
    match error.kind() {
        ErrorKind::Overloaded
        | ErrorKind::Unavailable
        | ErrorKind::Indeterminate
        | ErrorKind::Corrupt
        | ErrorKind::Internal => tracing::warn!(?error, "the store failed"),
        ErrorKind::Invalid
        | ErrorKind::TooLarge
        | ErrorKind::NotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::Conflict
        | ErrorKind::Expired
        | ErrorKind::FutureRevision
        | ErrorKind::Unsupported => tracing::debug!(?error, "the request was refused"),
    }
}

const fn kind_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "invalid",
        ErrorKind::TooLarge => "too_large",
        ErrorKind::NotFound => "not_found",
        ErrorKind::AlreadyExists => "already_exists",
        ErrorKind::Conflict => "conflict",
        ErrorKind::Expired => "expired",
        ErrorKind::FutureRevision => "future_revision",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::Overloaded => "overloaded",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Indeterminate => "indeterminate",
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::Internal => "internal",
    }
}
