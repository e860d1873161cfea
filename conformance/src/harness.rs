use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use storage_core::{Clock, Result, StorageBackend};

/// Describes one backend to the suite. A value of it stands for one store, which nothing else
/// uses and which is empty at the first [`open`](Harness::open). Each case gets a new value.
#[async_trait]
pub trait Harness: fmt::Debug + Send + Sync + 'static {
    /// Opens the store; the first call makes it. The store takes its time from `clock`.
    ///
    /// # Errors
    /// Whatever the backend says, in particular when it refuses to be opened twice at a time.
    async fn open(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn StorageBackend>>;

    /// Returns what the backend does where backends differ.
    fn declared(&self) -> Declared;

    /// Returns how many layers of the store add control records to what they pass on. Such a store
    /// takes control records of callers up to the limits of objects only.
    fn journals(&self) -> usize {
        0
    }

    /// Waits until a store whose last handle is dropped is closed, background work included.
    async fn closed(&self) {}

    /// Removes the store: files, databases. Called once, after the case, when it failed too.
    async fn remove(&self) {}
}

/// What a backend does where backends differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    /// What is there after the store was closed and opened again.
    pub reopening: Reopening,
    /// What opening it does while it is open.
    pub second_open: SecondOpen,
}

/// What is there after a store was closed and opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reopening {
    /// All that was acknowledged.
    KeepsAll,
    /// Nothing: a new store.
    KeepsNothing,
}

/// What opening a store does while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondOpen {
    /// It is an error, and the first handle works on.
    Refused,
    /// It gives a second handle on the same data.
    SameStore,
    /// It gives a store of its own.
    NewStore,
}

impl Declared {
    /// A store that is gone when it is closed; every open gives a new one.
    pub const VOLATILE: Self = Self {
        reopening: Reopening::KeepsNothing,
        second_open: SecondOpen::NewStore,
    };
    /// A store on disk that one process at a time may open.
    pub const EMBEDDED: Self = Self {
        reopening: Reopening::KeepsAll,
        second_open: SecondOpen::Refused,
    };
    /// A store that any number of processes may open.
    pub const SHARED: Self = Self {
        reopening: Reopening::KeepsAll,
        second_open: SecondOpen::SameStore,
    };
}

type Open = dyn Fn(Arc<dyn Clock>) -> Result<Arc<dyn StorageBackend>> + Send + Sync;

/// The harness of a backend that keeps nothing: a function that makes a new one.
pub struct Volatile(Box<Open>);

impl Volatile {
    /// Takes the function that makes a store.
    pub fn new<B: StorageBackend>(
        open: impl Fn(Arc<dyn Clock>) -> B + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(move |clock| Ok(Arc::new(open(clock)))))
    }
}

impl fmt::Debug for Volatile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Volatile")
    }
}

#[async_trait]
impl Harness for Volatile {
    async fn open(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn StorageBackend>> {
        (self.0)(clock)
    }

    fn declared(&self) -> Declared {
        Declared::VOLATILE
    }
}
