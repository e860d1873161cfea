use std::time::Duration;

/// Limits of a store on SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlOptions {
    /// SQLite: most reads at the same time.
    pub readers_max: usize,
    /// SQLite: most calls of `commit` and `compact` that wait for the writer; more wait outside.
    pub writer_queue_max: usize,
    /// When a commit is on the disk.
    #[doc(hidden)]
    pub sqlite_sync: SqliteSync,
    /// Servers: most connections that are open at the same time, the one that commits and the one
    /// that listens included; four at least.
    pub connections_max: u32,
    /// Servers: how long a request waits for a connection, a start of the server included.
    pub acquire_timeout: Duration,
    /// Servers: how long one piece of work may take; SQLite: how long it waits for a lock that
    /// another program holds on the file.
    pub request_timeout: Duration,
    /// Servers: how long it is tried to find out what became of a commit whose connection broke.
    pub decide_timeout: Duration,
    /// Servers: longest time between two looks at the newest revision, when nothing happens.
    pub poll_interval_max: Duration,
}

/// When a commit to SQLite is on the disk. Only tests may choose.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SqliteSync {
    /// Before it is answered.
    #[default]
    Full,
    /// Some time later, which loses data with the power.
    Off,
}

impl Default for SqlOptions {
    fn default() -> Self {
        Self {
            readers_max: 4,
            writer_queue_max: 64,
            sqlite_sync: SqliteSync::Full,
            connections_max: 16,
            acquire_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            decide_timeout: Duration::from_secs(10),
            poll_interval_max: Duration::from_secs(1),
        }
    }
}
