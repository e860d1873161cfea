//! Copies a store into another one: live objects, history and trash.
//!
//! The history is written again in the order of its revisions, each revision with its number, time
//! and operation id, so that the newest state, the trash and what clients remember come out the
//! same. Control records stay behind: they belong to one store.

mod index;
mod progress;

use futures::{StreamExt, TryStreamExt, stream};
use storage_core::limits::COMMIT_BYTES_MAX;
use storage_core::{
    ChangeKind, Cursor, Error, ErrorKind, ListQuery, Op, OperationId, Order, Outcome, Precondition,
    ResourceKey, Result, Revision, Scope, Source, StorageBackend, Stored, Transaction, Write,
};

use index::{Entry, Index};
use progress::Progress;

/// The operation id of a revision that had to be made up: an object whose deletion record is all
/// that is left had to exist before it could be deleted again.
pub const PLACEHOLDER: OperationId = OperationId(0x756e_6973_746f_7265_0000_636f_7079_0001);

/// Reads of the source that run at once.
const READS_AT_ONCE: usize = 32;

/// Transactions that one call of `commit` carries.
const TRANSACTIONS_PER_CALL: usize = 256;

/// Value bytes after which a call of `commit` is sent.
const BYTES_PER_CALL: usize = 8 << 20;

/// How far a copy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Records of the source's history.
    pub records: u64,
    /// Those of them that the target has, those of an earlier run included.
    pub done: u64,
    /// Value bytes that this run wrote.
    pub bytes: u64,
    /// Revisions whose number could not be kept.
    pub renumbered: u64,
}

/// Copies `source` into `target`, which must be empty or hold a part of an earlier copy of the same
/// source, and tells after each commit how far it is.
///
/// The target must not be written to by anybody else until the copy is complete; if it is, the copy
/// stops. The source may be in use: what is written to it later than the start is left out.
///
/// # Errors
/// `AlreadyExists` if the target holds something else; `Conflict` if somebody else writes to it; or
/// as [`StorageBackend::list`] and [`StorageBackend::commit`].
pub async fn copy(
    source: &dyn StorageBackend,
    target: &dyn StorageBackend,
    mut tell: impl FnMut(Copied) + Send,
) -> Result<Copied> {
    let progress = Progress::read(source, target).await?;
    let index = Index::read(source).await?;
    let mut copy = Copy {
        source,
        target,
        copied: Copied {
            records: index.entries.len() as u64,
            done: index
                .entries
                .partition_point(|entry| entry.revision <= progress.done) as u64,
            ..Copied::default()
        },
        progress,
        batch: Vec::new(),
        batch_bytes: 0,
    };
    copy.drop_purged(&index).await?;
    copy.replay(index, &mut tell).await?;
    Ok(copy.copied)
}

struct Copy<'a> {
    source: &'a dyn StorageBackend,
    target: &'a dyn StorageBackend,
    progress: Progress,
    copied: Copied,
    batch: Vec<Transaction>,
    batch_bytes: usize,
}

impl Copy<'_> {
    async fn replay(&mut self, index: Index, tell: &mut (impl FnMut(Copied) + Send)) -> Result<()> {
        tell(self.copied);
        let done = self.progress.done;
        let (newest, source) = (index.revision, self.source);
        let entries = index
            .entries
            .into_iter()
            .filter(move |entry| entry.revision > done);
        let records = stream::iter(entries)
            .map(|entry| read(source, entry))
            .buffered(READS_AT_ONCE)
            .try_filter_map(|record| std::future::ready(Ok(record)));
        let mut records = std::pin::pin!(records.peekable());
        while let Some(first) = records.try_next().await? {
            let revision = first.revision;
            let mut group = vec![first];
            while let Some(next) = records
                .as_mut()
                .next_if(|next| next.as_ref().is_ok_and(|next| next.revision == revision))
                .await
            {
                group.push(next?);
            }
            self.add(revision, group).await?;
            if self.batch.len() >= TRANSACTIONS_PER_CALL || self.batch_bytes >= BYTES_PER_CALL {
                self.flush().await?;
                tell(self.copied);
            }
        }
        self.flush().await?;
        self.target
            .commit(vec![self.progress.finish(newest)])
            .await?;
        tell(self.copied);
        Ok(())
    }

    /// Adds what one transaction of the source wrote.
    async fn add(&mut self, revision: Revision, group: Vec<Stored>) -> Result<()> {
        for stored in &group {
            if stored.kind == ChangeKind::Deleted && !self.exists(&stored.key).await? {
                let made_up = Stored {
                    operation: PLACEHOLDER,
                    ..stored.clone()
                };
                let number = self.progress.predicted.next();
                self.push(number, &made_up, vec![put(stored)]).await?;
            }
        }
        self.progress.done = revision;
        self.push(revision, &group[0], group.iter().map(write).collect())
            .await?;
        self.copied.done += group.len() as u64;
        Ok(())
    }

    /// Queues a transaction under a number, with the time and the request of a record.
    async fn push(&mut self, number: Revision, of: &Stored, writes: Vec<Write>) -> Result<()> {
        let transaction = Transaction {
            writes,
            at_least: Some(number),
            operation: of.operation,
            time: Some(of.time),
        };
        let bytes = transaction.value_bytes();
        if self.batch_bytes + bytes > COMMIT_BYTES_MAX {
            self.flush().await?;
        }
        self.batch.push(transaction.and(self.progress.step(number)));
        self.batch_bytes += bytes;
        if self.progress.predicted != number {
            self.copied.renumbered += 1;
        }
        Ok(())
    }

    /// Tells whether the target has the object, what waits to be sent included.
    async fn exists(&self, key: &ResourceKey) -> Result<bool> {
        let waiting = self
            .batch
            .iter()
            .rev()
            .flat_map(|transaction| &transaction.writes);
        match waiting.into_iter().find(|write| write.key == *key) {
            Some(write) => Ok(matches!(write.op, Op::Put(_))),
            None => Ok(self.target.get(key, None).await?.is_some()),
        }
    }

    async fn flush(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let outcomes = self.target.commit(std::mem::take(&mut self.batch)).await?;
        self.copied.bytes += std::mem::take(&mut self.batch_bytes) as u64;
        match outcomes
            .into_iter()
            .find(|outcome| outcome.revision().is_none())
        {
            None => Ok(()),
            Some(Outcome::Committed { .. } | Outcome::Conflict(_)) => Err(Error::new(
                ErrorKind::Conflict,
                "copy",
                "somebody else writes to the target; stop that and copy into an empty store",
            )),
        }
    }

    /// Deletes what an earlier run copied and the source has dropped since, deletion record and
    /// all: nothing that follows would delete it.
    async fn drop_purged(&mut self, index: &Index) -> Result<()> {
        if self.progress.done == Revision::ZERO {
            return Ok(());
        }
        let live = crate::scan::scan(self.target, ListQuery::live(Scope::All));
        let mut live = std::pin::pin!(live);
        while let Some(stored) = live.try_next().await? {
            if index.keys.contains(&stored.key) {
                continue;
            }
            let delete = Write {
                op: Op::Delete(stored.value.clone()),
                ..put(&stored)
            };
            let number = self.progress.predicted.next();
            self.push(number, &stored, vec![delete]).await?;
            if self.batch.len() >= TRANSACTIONS_PER_CALL {
                self.flush().await?;
            }
        }
        self.flush().await
    }
}

/// Reads a record again; none if the source has dropped it since the index was made.
async fn read(source: &dyn StorageBackend, entry: Entry) -> Result<Option<Stored>> {
    if let Some(stored) = entry.stored {
        return Ok(Some(stored));
    }
    let query = ListQuery::history(Scope::Object(entry.key.clone()), Order::Ascending)
        .limit(1)
        .after(Cursor {
            source: Source::History,
            order: Order::Ascending,
            revision: entry.revision,
            key: entry.key.clone(),
            item: Revision::new(entry.revision.get() - 1),
        });
    let page = source.list(&query).await?;
    let stored = page.items.into_iter().next();
    let stored = stored.filter(|stored| stored.revision == entry.revision);
    if stored.is_none() && entry.kind == ChangeKind::Deleted {
        // Without it the object would stay alive in the target. The next run finds it purged.
        let context = format!(
            "the source dropped the deletion record of {} while it was copied; run the copy again",
            entry.key
        );
        return Err(Error::new(ErrorKind::Expired, "copy", context));
    }
    Ok(stored)
}

fn write(stored: &Stored) -> Write {
    match stored.kind {
        ChangeKind::Created | ChangeKind::Updated => put(stored),
        ChangeKind::Deleted => Write {
            op: Op::Delete(stored.value.clone()),
            ..put(stored)
        },
    }
}

fn put(stored: &Stored) -> Write {
    Write {
        key: stored.key.clone(),
        precondition: Precondition::Any,
        op: Op::Put(stored.value.clone()),
    }
}
