use bytes::Bytes;
use storage_core::{
    ChangeKind, ListQuery, Op, OperationId, Order, Outcome, Precondition, ResourceKey, Revision,
    Scope, StorageBackendExt, Transaction, Write,
};

use super::Objects;
use crate::{Failure, Result, random};

/// What became of a commit of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Committed {
    /// It was made, at this revision.
    Yes(Revision),
    /// The precondition did not hold; the object is at this revision, or absent.
    Conflict(Option<Revision>),
}

impl Objects {
    pub(super) async fn put(
        &self,
        key: &ResourceKey,
        precondition: Precondition,
        value: Bytes,
    ) -> Result<Committed> {
        self.commit(key, precondition, Op::Put(value)).await
    }

    pub(super) async fn remove(
        &self,
        key: &ResourceKey,
        expected: Revision,
        record: Bytes,
    ) -> Result<Committed> {
        let precondition = Precondition::Revision(expected);
        self.commit(key, precondition, Op::Delete(record)).await
    }

    async fn commit(
        &self,
        key: &ResourceKey,
        precondition: Precondition,
        op: Op,
    ) -> Result<Committed> {
        let operation = random::operation(self.random())?;
        let write = Write {
            key: key.clone(),
            precondition,
            op,
        };
        let transaction = Transaction::from(write).operation(operation);
        match self.backend().commit_one(transaction).await {
            Ok(Outcome::Committed { revision }) => Ok(Committed::Yes(revision)),
            Ok(Outcome::Conflict(conflict)) => Ok(Committed::Conflict(conflict.actual)),
            Err(error) if error.is_indeterminate() => {
                match self.revision_of(key, operation).await {
                    Some(revision) => Ok(Committed::Yes(revision)),
                    None => Err(error.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Looks an operation up whose outcome is unknown. Not to find it proves nothing: it may still
    /// be on its way.
    async fn revision_of(&self, key: &ResourceKey, operation: OperationId) -> Option<Revision> {
        let newest = ListQuery::history(Scope::Object(key.clone()), Order::Descending).limit(1);
        let page = self.backend().list(&newest).await.ok()?;
        let found = page
            .items
            .first()
            .filter(|item| item.operation == operation)?;
        tracing::info!(%key, %operation, "the write of unknown outcome was made");
        Some(found.revision)
    }

    /// Returns the newest version of an object with its revision.
    pub(super) async fn newest(&self, target: &crate::Target) -> Result<Option<crate::Object>> {
        match self.backend().get(target.key(), None).await? {
            Some(stored) if stored.kind == ChangeKind::Deleted => Err(Failure::internal(
                "the store returned a deletion record as an object",
            )),
            Some(stored) => Ok(Some(super::shown(target.kind(), stored)?)),
            None => Ok(None),
        }
    }

    pub(super) async fn existing(&self, target: &crate::Target) -> Result<crate::Object> {
        let found = self.newest(target).await?;
        found.ok_or_else(|| target.kind().not_found(target.name()))
    }
}
