use std::fmt;
use std::sync::Arc;

/// The result of a storage operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, for a caller that decides what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request breaks a rule; it will never succeed.
    Invalid,
    /// The request breaks a limit of size; it will never succeed.
    TooLarge,
    /// The object does not exist. Only comfort calls say so: `get` answers none.
    NotFound,
    /// The object exists. Only comfort calls say so: `commit` answers a conflict.
    AlreadyExists,
    /// The object is at another revision. Only comfort calls say so: `commit` answers a conflict.
    Conflict,
    /// The revision, or the changes after it, are no longer kept. List again.
    Expired,
    /// The revision is newer than the newest one of the store.
    FutureRevision,
    /// This backend cannot do it.
    Unsupported,
    /// A queue or pool is full. Nothing was done; try again later.
    Overloaded,
    /// The store cannot be reached or refuses work. Nothing was done.
    Unavailable,
    /// The write may or may not have happened. Look the operation up in the history before a retry.
    Indeterminate,
    /// Stored bytes are not what was written.
    Corrupt,
    /// A fault of ours or of the engine that no other kind describes. Nothing was written.
    Internal,
}

impl ErrorKind {
    /// All kinds, for tables that must answer each.
    pub const ALL: [Self; 13] = [
        Self::Invalid,
        Self::TooLarge,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Conflict,
        Self::Expired,
        Self::FutureRevision,
        Self::Unsupported,
        Self::Overloaded,
        Self::Unavailable,
        Self::Indeterminate,
        Self::Corrupt,
        Self::Internal,
    ];
}

/// An error of a storage operation.
///
/// Any error but [`ErrorKind::Indeterminate`] says that nothing was written. Clones share the
/// source, so that every caller of one commit can be told.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    operation: &'static str,
    context: Arc<str>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Creates an error: what kind, in which operation, about what.
    #[must_use]
    pub fn new(kind: ErrorKind, operation: &'static str, context: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            operation,
            context: context.into(),
            source: None,
        }
    }

    /// Creates an [`ErrorKind::Invalid`] error.
    #[must_use]
    pub fn invalid(operation: &'static str, context: impl Into<Arc<str>>) -> Self {
        Self::new(ErrorKind::Invalid, operation, context)
    }

    /// Creates an [`ErrorKind::TooLarge`] error.
    #[must_use]
    pub fn too_large(operation: &'static str, context: impl Into<Arc<str>>) -> Self {
        Self::new(ErrorKind::TooLarge, operation, context)
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Returns what went wrong.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the operation that failed.
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        self.operation
    }

    /// Returns what the error is about.
    #[must_use]
    pub fn context(&self) -> &str {
        &self.context
    }

    /// Tells whether the same request may succeed later, and that a retry does no harm.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Overloaded | ErrorKind::Unavailable)
    }

    /// Tells whether the write may have happened.
    #[must_use]
    pub const fn is_indeterminate(&self) -> bool {
        matches!(self.kind, ErrorKind::Indeterminate)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.context)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)?;
        match &self.source {
            Some(source) => write!(f, " (caused by: {source})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
