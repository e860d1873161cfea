//! The right to sync a kind: one sync at a time, over all processes.

use std::time::Duration;

use storage_core::{
    Error, ErrorKind, Outcome, Precondition, ResourceKey, Result, Revision, StorageBackendExt,
    Transaction,
};
use tokio::time::Instant;

use crate::Kind;
use crate::inner::Inner;
use crate::read::unchanged;
use crate::record::{LeaseRecord, PassRecord, from_json, to_json};

/// How long the right to sync is held without being renewed: so long waits whoever goes on after a
/// process that was killed.
const LEASE: Duration = Duration::from_secs(15);
/// The right is renewed when it is this old.
const LEASE_AGE: Duration = Duration::from_secs(5);

/// The right to sync a kind. It saves work; safety does not rest on it.
pub(crate) struct SyncLease {
    pub(crate) key: ResourceKey,
    pub(crate) revision: Revision,
    renewed: Instant,
    /// The pass as it was saved last.
    pub(crate) saved: Option<PassRecord>,
}

impl SyncLease {
    /// Tells whether it is time to renew it.
    pub(crate) fn is_old(&self) -> bool {
        self.renewed.elapsed() > LEASE_AGE
    }
}

/// Says that this process is syncing a kind, until it is dropped.
pub(crate) struct Syncing<'a> {
    inner: &'a Inner,
    kind: &'a Kind,
}

impl Drop for Syncing<'_> {
    fn drop(&mut self) {
        self.inner.syncing.lock().remove(self.kind);
    }
}

impl Inner {
    /// Refuses a second sync of a kind in this process, until what is returned is dropped.
    pub(crate) fn only_sync<'a>(&'a self, kind: &'a Kind) -> Result<Syncing<'a>> {
        if !self.syncing.lock().insert(kind.clone()) {
            let context = format!("{kind} is being synced by this process already");
            return Err(Error::new(ErrorKind::Overloaded, "sync", context));
        }
        Ok(Syncing { inner: self, kind })
    }

    pub(crate) async fn take_lease(&self, kind: &Kind) -> Result<SyncLease> {
        let key = self.keys.lease(kind);
        let stored = self.unified.get(&key, None).await?;
        let now = self.now();
        if let Some(stored) = &stored {
            let record: LeaseRecord = from_json(stored)?;
            let until = record.until_ms;
            // A time too far ahead is of a clock that went wrong.
            let ahead = now.saturating_add(LEASE * 2).as_millis();
            let mine = record.owner == self.options.instance.to_string();
            if until > now.as_millis() && until < ahead && !mine {
                let context = format!(
                    "{kind} is being synced by process {}; if that died, wait {} s",
                    record.owner,
                    LEASE.as_secs()
                );
                return Err(Error::new(ErrorKind::Overloaded, "sync", context));
            }
        }
        let unchanged = unchanged(stored.as_ref());
        self.rights.lock().insert(kind.clone());
        let revision = self.put_lease(&key, unchanged, LEASE).await?;
        Ok(SyncLease {
            key,
            revision,
            renewed: Instant::now(),
            saved: None,
        })
    }

    /// Returns the revision of a right to sync, if this process has it.
    pub(crate) async fn own_lease(&self, key: &ResourceKey) -> Result<Option<Revision>> {
        let Some(stored) = self.unified.get(key, None).await? else {
            return Ok(None);
        };
        let record: LeaseRecord = from_json(&stored)?;
        let mine = record.owner == self.options.instance.to_string();
        Ok(mine.then_some(stored.revision))
    }

    pub(crate) async fn renew_lease(&self, lease: &mut SyncLease) -> Result<()> {
        let held = Precondition::Revision(lease.revision);
        lease.revision = self.put_lease(&lease.key, held, LEASE).await?;
        lease.renewed = Instant::now();
        Ok(())
    }

    pub(crate) async fn drop_lease(&self, kind: &Kind, lease: &SyncLease) {
        let held = Precondition::Revision(lease.revision);
        // Should this fail, the lease runs out.
        let _ = self.put_lease(&lease.key, held, Duration::ZERO).await;
        self.rights.lock().remove(kind);
    }

    /// Gives up the rights of syncs that were broken off, so that nobody has to wait for their end.
    pub(crate) async fn drop_rights(&self) {
        let kinds = std::mem::take(&mut *self.rights.lock());
        for kind in kinds {
            let key = self.keys.lease(&kind);
            if let Ok(Some(revision)) = self.own_lease(&key).await {
                let held = Precondition::Revision(revision);
                let _ = self.put_lease(&key, held, Duration::ZERO).await;
            }
        }
    }

    async fn put_lease(
        &self,
        key: &ResourceKey,
        unchanged: Precondition,
        lasts: Duration,
    ) -> Result<Revision> {
        let record = LeaseRecord {
            owner: self.options.instance.to_string(),
            until_ms: self.now().saturating_add(lasts).as_millis(),
        };
        let put = Transaction::put(key.clone(), unchanged, to_json(&record));
        match self.unified.commit_one(put).await? {
            Outcome::Committed { revision } => Ok(revision),
            Outcome::Conflict(_) => {
                let context = "another process took over the sync";
                Err(Error::new(ErrorKind::Overloaded, "sync", context))
            }
        }
    }
}
