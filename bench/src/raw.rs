//! The guarded update on bare redb: what the engine can do for the same work.
//!
//! The work of one update is the work of ours: read the current row, compare its revision, move the
//! old value to the history, put the new one, put a change record. Whatever waits is written in one
//! durable commit by one thread, as the group commit layer does.

use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::sync::Arc;
use tokio::sync::oneshot;

const CURRENT: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("current");
const HISTORY: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("history");
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");

/// Most updates that wait for the writer; more block the caller.
const QUEUE_MAX: usize = 1024;
/// Most updates in one commit.
const BATCH_MAX: usize = 256;

type Answer = oneshot::Sender<Option<u64>>;

struct Update {
    key: Vec<u8>,
    expected: u64,
    value: Vec<u8>,
    answer: Answer,
}

/// Bare redb with one writer thread.
#[derive(Debug)]
pub struct RawRedb {
    database: Arc<Database>,
    queue: Option<mpsc::SyncSender<Update>>,
    writer: Option<JoinHandle<()>>,
}

impl RawRedb {
    /// Creates a database in `folder`.
    ///
    /// # Errors
    /// Those of redb.
    pub fn create(folder: &Path) -> Result<Self, redb::Error> {
        let database = Arc::new(Database::create(folder.join("raw.redb"))?);
        let (queue, updates) = mpsc::sync_channel(QUEUE_MAX);
        let of_writer = Arc::clone(&database);
        let writer = std::thread::spawn(move || run(&of_writer, &updates));
        Ok(Self {
            database,
            queue: Some(queue),
            writer: Some(writer),
        })
    }

    /// Returns the revision of a row; 0 when it is absent.
    #[must_use]
    pub fn revision(&self, key: &[u8]) -> u64 {
        let read = || -> Result<u64, redb::Error> {
            let current = self.database.begin_read()?.open_table(CURRENT)?;
            Ok(current.get(key)?.map_or(0, |row| revision_of(row.value())))
        };
        // The table does not exist before the first write.
        read().unwrap_or(0)
    }

    /// Updates a row that is at `expected` (0: that is absent) and returns its new revision, or
    /// none if it was at another one.
    pub async fn update(&self, key: Vec<u8>, expected: u64, value: Vec<u8>) -> Option<u64> {
        let (answer, outcome) = oneshot::channel();
        let update = Update {
            key,
            expected,
            value,
            answer,
        };
        self.queue.as_ref()?.send(update).ok()?;
        outcome.await.ok().flatten()
    }
}

impl Drop for RawRedb {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            // A panic of the writer was seen by every caller as a missing answer.
            let _: Result<(), _> = writer.join();
        }
    }
}

fn run(database: &Database, updates: &mpsc::Receiver<Update>) {
    let mut revision = 0;
    while let Ok(first) = updates.recv() {
        let mut batch = vec![first];
        batch.extend(updates.try_iter().take(BATCH_MAX - 1));
        match write(database, &batch, &mut revision) {
            Ok(outcomes) => answer(batch, outcomes),
            Err(_) => return,
        }
    }
}

fn answer(batch: Vec<Update>, outcomes: Vec<Option<u64>>) {
    for (update, outcome) in batch.into_iter().zip(outcomes) {
        // A caller that went away does not want to know.
        let _: Result<(), _> = update.answer.send(outcome);
    }
}

fn write(
    database: &Database,
    batch: &[Update],
    revision: &mut u64,
) -> Result<Vec<Option<u64>>, redb::Error> {
    let transaction = database.begin_write()?;
    let mut outcomes = Vec::with_capacity(batch.len());
    {
        let mut current = transaction.open_table(CURRENT)?;
        let mut history = transaction.open_table(HISTORY)?;
        let mut log = transaction.open_table(LOG)?;
        for update in batch {
            let old = current
                .get(update.key.as_slice())?
                .map(|row| row.value().to_vec());
            let at = old.as_ref().map_or(0, |row| revision_of(row));
            if at != update.expected {
                outcomes.push(None);
                continue;
            }
            *revision += 1;
            if let Some(old) = old {
                let mut key = update.key.clone();
                key.extend_from_slice(&at.to_be_bytes());
                history.insert(key.as_slice(), old.as_slice())?;
            }
            let mut row = revision.to_be_bytes().to_vec();
            row.extend_from_slice(&update.value);
            current.insert(update.key.as_slice(), row.as_slice())?;
            log.insert(*revision, update.key.as_slice())?;
            outcomes.push(Some(*revision));
        }
    }
    transaction.commit()?;
    Ok(outcomes)
}

fn revision_of(row: &[u8]) -> u64 {
    row.first_chunk()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
