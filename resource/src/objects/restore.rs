use storage_core::{ListQuery, Order, Revision, Scope, Stored};

use super::rivals::Rivals;
use super::update::Attempt;
use super::{Objects, Written, shown};
use crate::draft::{Decoded, Draft};
use crate::json::Parsed;
use crate::limits::SCAN_PAGE_ITEMS_MAX;
use crate::options::FieldValidation;
use crate::{Failure, Object, Reason, Result, Target, WriteOptions};

impl Objects {
    /// Brings back an object from the trash, or an old version of an object that exists.
    ///
    /// A deleted object is created again as it was last, or as it was at a version of its history.
    /// It starts a new life: a new uid, a new creation time, generation 1. A uid names one life, and
    /// clients and owner references rely on it; the history shows where the content came from.
    /// An object that exists is set back to an earlier version by an update like any other.
    ///
    /// # Errors
    /// `NotFound` if the trash does not have it; `AlreadyExists` if it exists and no version was
    /// asked for; `Expired` if the version is no longer kept.
    pub async fn restore(
        &self,
        target: &Target,
        revision: Option<Revision>,
        options: &WriteOptions,
    ) -> Result<Written> {
        let plan = options.check("CreateOptions")?;
        let mut rivals = Rivals::new();
        loop {
            let current = self.newest(target).await?;
            let source = match (revision, &current) {
                (Some(revision), _) => self.version(target, revision).await?,
                (None, None) => self.trashed(target).await?,
                (None, Some(_)) => return Err(target.kind().already_exists(target.name())),
            };
            let decoded = revived(&source)?;
            match &current {
                None => {
                    return self
                        .create_decoded(target.collection(), decoded, plan)
                        .await;
                }
                Some(current) => {
                    let attempt = self.replace(target, current, decoded, plan).await?;
                    if let Attempt::Done(written) = attempt {
                        return Ok(written);
                    }
                }
            }
            if !rivals.may_try_again().await {
                return Err(target.kind().modified(target.name()));
            }
        }
    }

    async fn trashed(&self, target: &Target) -> Result<Object> {
        let query = ListQuery::trash(Scope::Object(target.key().clone())).limit(1);
        let found = self.backend().list(&query).await?.items.into_iter().next();
        let record = found.ok_or_else(|| target.kind().not_found(target.name()))?;
        shown(target.kind(), record)
    }

    /// The version of exactly this revision, a deletion record too.
    async fn version(&self, target: &Target, revision: Revision) -> Result<Object> {
        let scope = Scope::Object(target.key().clone());
        let mut query = ListQuery::history(scope, Order::Descending).limit(SCAN_PAGE_ITEMS_MAX);
        loop {
            let page = self.backend().list(&query).await?;
            let is_it = |item: &Stored| item.revision == revision;
            if let Some(item) = page.items.into_iter().find(is_it) {
                return shown(target.kind(), item);
            }
            match page.next {
                Some(cursor) => query = query.after(cursor),
                None => return Err(gone(revision)),
            }
        }
    }
}

fn gone(revision: Revision) -> Failure {
    Failure::new(
        Reason::Expired,
        format!("the history of the object does not have version {revision}, or no longer"),
    )
}

/// The content of a version, without what only its own life had.
fn revived(source: &Object) -> Result<Decoded> {
    let duplicates = Vec::new();
    let root = source.read()?;
    let parsed = Parsed { root, duplicates };
    let mut decoded = Draft::from_json(source.kind(), parsed, FieldValidation::Ignore)?;
    let metadata = decoded.draft.metadata_mut();
    for field in [
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "resourceVersion",
        "uid",
    ] {
        metadata.remove(field);
    }
    Ok(decoded)
}
