use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    Conflict, Error, ErrorKind, ListQuery, Outcome, Precondition, ResourceKey, Result, Revision,
    StorageBackend, Stored, Transaction,
};

/// Comfort on top of [`StorageBackend`]: every backend has it, none implements it.
#[async_trait]
pub trait StorageBackendExt: StorageBackend {
    /// Commits one transaction.
    ///
    /// # Errors
    /// As [`StorageBackend::commit`]. A conflict is an outcome.
    async fn commit_one(&self, transaction: Transaction) -> Result<Outcome> {
        let outcomes = self.commit(vec![transaction]).await?;
        let [outcome] = <[Outcome; 1]>::try_from(outcomes).map_err(|outcomes| {
            let context = format!("{} outcomes for one transaction", outcomes.len());
            Error::new(ErrorKind::Internal, "commit", context)
        })?;
        Ok(outcome)
    }

    /// Creates an object.
    ///
    /// # Errors
    /// `AlreadyExists`, or as [`StorageBackend::commit`].
    async fn create(&self, key: ResourceKey, value: Bytes) -> Result<Revision> {
        let outcome = self
            .commit_one(Transaction::put(key, Precondition::Absent, value))
            .await?;
        committed("create", outcome)
    }

    /// Updates an object that is at revision `expected`.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`, or as [`StorageBackend::commit`].
    async fn update(&self, key: ResourceKey, expected: Revision, value: Bytes) -> Result<Revision> {
        let precondition = Precondition::Revision(expected);
        committed(
            "update",
            self.commit_one(Transaction::put(key, precondition, value))
                .await?,
        )
    }

    /// Deletes an object that is at revision `expected`; `record` is what the trash keeps.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`, or as [`StorageBackend::commit`].
    async fn delete(
        &self,
        key: ResourceKey,
        expected: Revision,
        record: Bytes,
    ) -> Result<Revision> {
        let precondition = Precondition::Revision(expected);
        committed(
            "delete",
            self.commit_one(Transaction::delete(key, precondition, record))
                .await?,
        )
    }

    /// Returns all items of a list, page by page. For tests and small lists: it holds them all.
    ///
    /// # Errors
    /// As [`StorageBackend::list`].
    async fn list_all(&self, query: ListQuery) -> Result<Vec<Stored>> {
        let mut query = query;
        let mut items = Vec::new();
        loop {
            let page = self.list(&query).await?;
            items.extend(page.items);
            match page.next {
                Some(cursor) => query = query.after(cursor),
                None => return Ok(items),
            }
        }
    }
}

impl<B: StorageBackend + ?Sized> StorageBackendExt for B {}

fn committed(operation: &'static str, outcome: Outcome) -> Result<Revision> {
    match outcome {
        Outcome::Committed { revision } => Ok(revision),
        Outcome::Conflict(conflict) => Err(conflict_error(operation, &conflict)),
    }
}

fn conflict_error(operation: &'static str, conflict: &Conflict) -> Error {
    let key = &conflict.key;
    match (conflict.expected, conflict.actual) {
        (_, None) => Error::new(
            ErrorKind::NotFound,
            operation,
            format!("{key} does not exist"),
        ),
        (Precondition::Absent, Some(actual)) => Error::new(
            ErrorKind::AlreadyExists,
            operation,
            format!("{key} exists at revision {actual}"),
        ),
        (_, Some(actual)) => Error::new(
            ErrorKind::Conflict,
            operation,
            format!("{key} is at revision {actual}"),
        ),
    }
}
