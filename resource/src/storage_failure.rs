use storage_core::{Error, ErrorKind};

use crate::{Cause, CauseReason, Details, Failure, Reason};

/// Seconds after which a client may ask a busy store again.
const OVERLOADED_RETRY_SECONDS: u32 = 1;
/// Seconds after which a client may ask a store again that could not be reached.
const UNAVAILABLE_RETRY_SECONDS: u32 = 2;

impl From<Error> for Failure {
    /// Says what an error of the store means to a client. The one place that knows both.
    ///
    /// Verbs answer what they expect themselves (an object that is missing, a stale version, an
    /// expired page) with the object's name; what arrives here came unexpected.
    fn from(error: Error) -> Self {
        tracing::debug!(?error, "storage error");
        match error.kind() {
            ErrorKind::Invalid => Self::bad_request(error.context()),
            ErrorKind::TooLarge => Self::too_large_because(error.context()),
            ErrorKind::NotFound => Self::new(Reason::NotFound, error.context()),
            ErrorKind::AlreadyExists => Self::new(Reason::AlreadyExists, error.context()),
            ErrorKind::Conflict => Self::new(Reason::Conflict, error.context()),
            ErrorKind::Expired => Self::new(Reason::Expired, error.context()),
            ErrorKind::FutureRevision => future_revision(error.context()),
            ErrorKind::Unsupported => Self::new(Reason::MethodNotAllowed, error.context()),
            ErrorKind::Overloaded => Self::too_many_requests(OVERLOADED_RETRY_SECONDS),
            ErrorKind::Unavailable => unavailable(&error),
            // No Retry-After: clients would repeat the write by themselves.
            ErrorKind::Indeterminate => Self::timeout(
                "the outcome of the write is unknown: it may or may not have been made; \
                 read the object before trying again",
            ),
            ErrorKind::Corrupt => {
                tracing::error!(%error, "stored bytes are not what was written");
                Self::internal(&error)
            }
            ErrorKind::Internal => {
                tracing::error!(%error, "the store failed");
                Self::internal(&error)
            }
        }
    }
}

fn unavailable(error: &Error) -> Failure {
    tracing::warn!(%error, "the store cannot be reached");
    let message = format!("the store is not available: {}", error.context());
    Failure::unavailable(message, UNAVAILABLE_RETRY_SECONDS)
}

fn future_revision(context: &str) -> Failure {
    Failure::timeout(format!("Too large resource version: {context}"))
        .with_details(too_large_version())
}

/// The details by which clients recognise a version that the server has not reached.
pub(crate) fn too_large_version() -> Details {
    Details {
        causes: vec![Cause::new(
            CauseReason::ResourceVersionTooLarge,
            "",
            "Too large resource version",
        )],
        retry_after_seconds: Some(1),
        ..Details::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_answer() {
        let answers: Vec<_> = ErrorKind::ALL
            .into_iter()
            .map(|kind| {
                let failure = Failure::from(Error::new(kind, "commit", "why"));
                let retry = failure.details().retry_after_seconds;
                (kind, failure.reason(), retry)
            })
            .collect();
        assert_eq!(
            answers,
            [
                (ErrorKind::Invalid, Reason::BadRequest, None),
                (ErrorKind::TooLarge, Reason::RequestEntityTooLarge, None),
                (ErrorKind::NotFound, Reason::NotFound, None),
                (ErrorKind::AlreadyExists, Reason::AlreadyExists, None),
                (ErrorKind::Conflict, Reason::Conflict, None),
                (ErrorKind::Expired, Reason::Expired, None),
                (ErrorKind::FutureRevision, Reason::Timeout, Some(1)),
                (ErrorKind::Unsupported, Reason::MethodNotAllowed, None),
                (ErrorKind::Overloaded, Reason::TooManyRequests, Some(1)),
                (ErrorKind::Unavailable, Reason::ServiceUnavailable, Some(2)),
                (ErrorKind::Indeterminate, Reason::Timeout, None),
                (ErrorKind::Corrupt, Reason::InternalError, None),
                (ErrorKind::Internal, Reason::InternalError, None),
            ]
        );
    }
}
