use bytes::Bytes;
use storage_core::Precondition;

use super::Objects;
use super::commit::Committed;
use super::rivals::Rivals;
use super::update::bump_generation;
use crate::draft::wire_time;
use crate::json::Map;
use crate::object::encode;
use crate::options::DryRun;
use crate::{DeleteOptions, Json, Object, Result, Target};

/// What became of a delete.
#[derive(Clone, Debug, PartialEq)]
pub enum Deletion {
    /// The object is gone.
    Gone {
        /// Its last state, with the deletion's version.
        object: Object,
        /// Its uid.
        uid: String,
    },
    /// Finalizers keep it until whoever set them has removed them.
    Waiting(Object),
}

impl Objects {
    /// Deletes an object; one with finalizers is marked for deletion and stays until they are
    /// gone. A second delete of such an object changes nothing.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if a precondition does not hold; `Invalid` options.
    pub async fn delete(&self, target: &Target, options: &DeleteOptions) -> Result<Deletion> {
        let dry_run = options.check()?;
        let mut rivals = Rivals::new();
        loop {
            let current = self.existing(target).await?;
            check_preconditions(&current, options)?;
            if let Some(deletion) = self.delete_version(&current, dry_run).await? {
                return Ok(deletion);
            }
            if !rivals.may_try_again().await {
                return Err(target.kind().modified(target.name()));
            }
        }
    }

    /// Deletes one version of an object; none if another writer was faster.
    async fn delete_version(&self, current: &Object, dry_run: DryRun) -> Result<Option<Deletion>> {
        let meta = current.meta()?;
        if meta.finalizers.is_empty() {
            return self.remove_version(current, dry_run).await;
        }
        if meta.deletion_timestamp.is_some() {
            return Ok(Some(Deletion::Waiting(current.clone())));
        }
        let value = self.marked(current)?;
        let committed = match dry_run {
            DryRun::All => Committed::Yes(current.revision()),
            DryRun::No => {
                let expected = Precondition::Revision(current.revision());
                self.put(current.key(), expected, value.clone()).await?
            }
        };
        let Committed::Yes(revision) = committed else {
            return Ok(None);
        };
        let (kind, key) = (current.kind().clone(), current.key().clone());
        let object = Object::from_value(kind, key, revision, value)?;
        Ok(Some(Deletion::Waiting(object)))
    }

    async fn remove_version(&self, current: &Object, dry_run: DryRun) -> Result<Option<Deletion>> {
        let committed = match dry_run {
            DryRun::All => Committed::Yes(current.revision()),
            DryRun::No => {
                let record = self.deletion_record(current)?;
                self.remove(current.key(), current.revision(), record)
                    .await?
            }
        };
        Ok(match committed {
            Committed::Yes(revision) => Some(Deletion::Gone {
                uid: current.uid()?,
                object: current.at(revision),
            }),
            Committed::Conflict(_) => None,
        })
    }

    /// The last state with the time of the deletion: what trash and history show.
    fn deletion_record(&self, current: &Object) -> Result<Bytes> {
        if current.meta()?.deletion_timestamp.is_some() {
            return Ok(current.stored_bytes().clone());
        }
        let time = wire_time(self.clock().now());
        Ok(current.with_field(&format!("\"deletionTimestamp\":\"{time}\",")))
    }

    /// The object as it waits for its finalizers.
    fn marked(&self, current: &Object) -> Result<Bytes> {
        let mut root = current.read()?;
        let object: &mut Map = root.object_mut();
        let metadata = object.entry("metadata".into()).or_default().object_mut();
        let now = Json::from(wire_time(self.clock().now()));
        metadata.insert("deletionTimestamp".into(), now);
        metadata.insert("deletionGracePeriodSeconds".into(), 0.into());
        bump_generation(metadata);
        Ok(encode(current.kind(), object))
    }
}

fn check_preconditions(current: &Object, options: &DeleteOptions) -> Result<()> {
    let refuse = |what: &str, given: &str, actual: &str| {
        let why = format!(
            "the {what} in the precondition ({given}) does not match \
             the {what} in record ({actual}). \
             The object might have been deleted and then recreated"
        );
        Err(current.kind().conflict(current.name(), &why))
    };
    if let Some(given) = &options.uid {
        let actual = current.uid()?;
        if *given != actual {
            return refuse("UID", given, &actual);
        }
    }
    if let Some(given) = &options.resource_version {
        let actual = current.revision().to_string();
        if *given != actual {
            return refuse("ResourceVersion", given, &actual);
        }
    }
    Ok(())
}
