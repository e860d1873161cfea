use storage_core::{Error, ErrorKind};

/// Why a piece of work in a database did not succeed, for the code that decides about a retry.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The database gave up on this attempt because of another one: deadlock, serialization,
    /// lock timeout. Nothing was done; trying again may succeed.
    Contention(Error),
    /// The connection is gone or must not be used again. What was sent may have been done.
    Lost(Error),
    /// Anything else; trying again does not help.
    Refused(Error),
}

/// The result of a piece of work in a database.
pub(crate) type Attempt<T> = Result<T, Failure>;

impl Failure {
    /// Tells whether nothing went wrong: what was asked for has an error as its answer.
    pub(crate) fn is_answer(&self) -> bool {
        matches!(self, Self::Refused(error)
            if matches!(error.kind(), ErrorKind::Expired | ErrorKind::FutureRevision))
    }

    /// Returns the error that a caller is told when nothing was written.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Contention(error) | Self::Lost(error) | Self::Refused(error) => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// Stored bytes are not what was written.
pub(crate) fn corrupt(what: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, "read", what)
}
