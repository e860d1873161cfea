use serde::{Deserialize, Serialize};
use storage_core::{
    Error, ErrorKind, ListQuery, Op, Precondition, ResourceKey, Result, Revision, Scope,
    StorageBackend, Transaction, Write,
};

/// How far a copy is, kept in the target by every transaction of the copy.
///
/// It is also the fence: each transaction requires the record at the revision that the transaction
/// before it made, and that revision is known in advance as long as nobody else writes.
pub(super) struct Progress {
    key: ResourceKey,
    source: String,
    /// The source's revision up to which the target has everything.
    pub(super) done: Revision,
    /// The target's newest revision once all that was given out is committed.
    pub(super) predicted: Revision,
    /// The revision of the record itself by then.
    record: Option<Revision>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    source: String,
    done: u64,
}

impl Progress {
    /// Reads how far an earlier copy came, or makes sure that the target is empty.
    pub(super) async fn read(
        source: &dyn StorageBackend,
        target: &dyn StorageBackend,
    ) -> Result<Self> {
        let info = source.info();
        let mut progress = Self {
            key: ResourceKey::internal("copies", "", "progress")?,
            source: format!("{} {}", info.engine, info.location),
            done: Revision::ZERO,
            predicted: newest(target).await?,
            record: None,
        };
        match target.get(&progress.key, None).await? {
            Some(stored) => {
                let record: Record = serde_json::from_slice(&stored.value).map_err(|error| {
                    let context = "the target's record of an earlier copy cannot be read";
                    Error::new(ErrorKind::Corrupt, "copy", context).with_source(error)
                })?;
                if record.source != progress.source {
                    let context = format!("the target holds a part of a copy of {}", record.source);
                    return Err(Error::new(ErrorKind::AlreadyExists, "copy", context));
                }
                progress.done = Revision::new(record.done);
                progress.record = Some(stored.revision);
            }
            None => must_be_empty(target).await?,
        }
        Ok(progress)
    }

    /// Returns the write that takes part in the next transaction, which asks for `number`.
    pub(super) fn step(&mut self, number: Revision) -> Write {
        let record = Record {
            source: self.source.clone(),
            done: self.done.get(),
        };
        let value = serde_json::json!(record).to_string();
        let write = self.write(Op::Put(value.into()));
        self.predicted = self.predicted.next().max(number);
        self.record = Some(self.predicted);
        write
    }

    /// Returns the last transaction: the record goes, and the target is at least at `newest`.
    pub(super) fn finish(&self, newest: Revision) -> Transaction {
        Transaction {
            at_least: Some(newest),
            ..self.write(Op::Delete(bytes::Bytes::new())).into()
        }
    }

    fn write(&self, op: Op) -> Write {
        Write {
            key: self.key.clone(),
            precondition: self
                .record
                .map_or(Precondition::Absent, Precondition::Revision),
            op,
        }
    }
}

async fn newest(target: &dyn StorageBackend) -> Result<Revision> {
    let page = target.list(&ListQuery::live(Scope::All).limit(1)).await?;
    Ok(page.revision)
}

async fn must_be_empty(target: &dyn StorageBackend) -> Result<()> {
    let history = ListQuery::history(Scope::All, storage_core::Order::Ascending).limit(1);
    if target.list(&history).await?.items.is_empty() {
        return Ok(());
    }
    let context = "the target is not empty; a copy needs an empty store";
    Err(Error::new(ErrorKind::AlreadyExists, "copy", context))
}
