use storage_core::{Precondition, Revision};

use super::commit::Committed;
use super::{Effect, Objects, Written};
use crate::draft::{Decoded, Draft, wire_time};
use crate::limits::{GENERATED_BASE_BYTES_MAX, GENERATED_NAME_TRIES_MAX};
use crate::options::{DryRun, WritePlan};
use crate::{Cause, Collection, Failure, Object, Reason, Result, Target, WriteOptions, random};

impl Objects {
    /// Creates an object.
    ///
    /// # Errors
    /// `BadRequest` for a body that is not an object of the kind and version, that names another
    /// namespace or has a resource version; `Invalid` for one that breaks a rule; `AlreadyExists`.
    pub async fn create(
        &self,
        collection: &Collection,
        body: &[u8],
        options: &WriteOptions,
    ) -> Result<Written> {
        let plan = options.check("CreateOptions")?;
        let decoded = Draft::decode(collection.kind(), body, plan.field_validation)?;
        self.create_decoded(collection, decoded, plan).await
    }

    pub(super) async fn create_decoded(
        &self,
        collection: &Collection,
        decoded: Decoded,
        plan: WritePlan,
    ) -> Result<Written> {
        let Decoded {
            mut draft,
            mut warnings,
        } = decoded;
        draft.place(collection)?;
        if !matches!(draft.text("resourceVersion"), "" | "0") {
            return Err(Failure::bad_request(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        self.begin_life(&mut draft)?;
        warnings.extend(draft.drop_repeated_owners());
        warnings.extend(draft.kind.deprecation_warning().map(String::from));
        let object = self.store_new(collection, draft, plan.dry_run).await?;
        Ok(Written {
            object,
            effect: Effect::Created,
            warnings,
        })
    }

    /// Sets what the server says of a new object, whatever the client said.
    fn begin_life(&self, draft: &mut Draft) -> Result<()> {
        let uid = random::uid(self.random())?;
        let now = wire_time(self.clock().now());
        if draft.kind.subresources().status {
            draft.fields_mut().remove("status");
        }
        let metadata = draft.metadata_mut();
        for field in [
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "managedFields",
            "resourceVersion",
            "selfLink",
        ] {
            metadata.remove(field);
        }
        metadata.insert("uid".into(), uid.into());
        metadata.insert("creationTimestamp".into(), now.into());
        metadata.insert("generation".into(), 1.into());
        Ok(())
    }

    async fn store_new(
        &self,
        collection: &Collection,
        mut draft: Draft,
        dry_run: DryRun,
    ) -> Result<Object> {
        if !draft.name().is_empty() {
            draft.validate()?;
            let target = collection.object(draft.name())?;
            return self
                .store_at(&target, &draft, dry_run)
                .await?
                .ok_or_else(|| draft.kind.already_exists(draft.name()));
        }
        let base = generated_base(&draft)?;
        for _ in 0..GENERATED_NAME_TRIES_MAX {
            let name = format!("{base}{}", random::name_suffix(self.random())?);
            draft.metadata_mut().insert("name".into(), name.into());
            draft.validate()?;
            let target = collection.object(draft.name())?;
            if let Some(object) = self.store_at(&target, &draft, dry_run).await? {
                return Ok(object);
            }
        }
        Err(exhausted(&draft))
    }

    /// Stores a new object; none if the name is taken.
    async fn store_at(
        &self,
        target: &Target,
        draft: &Draft,
        dry_run: DryRun,
    ) -> Result<Option<Object>> {
        let value = draft.encode()?;
        let revision = match dry_run {
            DryRun::No => {
                let put = self.put(target.key(), Precondition::Absent, value.clone());
                match put.await? {
                    Committed::Yes(revision) => revision,
                    Committed::Conflict(_) => return Ok(None),
                }
            }
            DryRun::All if self.newest(target).await?.is_some() => return Ok(None),
            DryRun::All => Revision::ZERO,
        };
        let kind = target.kind().clone();
        Object::from_value(kind, target.key().clone(), revision, value).map(Some)
    }
}

fn generated_base(draft: &Draft) -> Result<String> {
    let base = draft.text("generateName");
    if base.is_empty() {
        let why = "name or generateName is required";
        let cause = Cause::required("metadata.name", why);
        return Err(draft.kind.invalid("", vec![cause]));
    }
    let end = |c: &(usize, char)| c.0 + c.1.len_utf8() <= GENERATED_BASE_BYTES_MAX;
    let kept = base.char_indices().take_while(end);
    Ok(kept.map(|(_, c)| c).collect())
}

fn exhausted(draft: &Draft) -> Failure {
    let taken = draft.kind.already_exists(draft.name());
    let message = format!(
        "{}, the server was not able to generate a unique name for the object",
        taken.message()
    );
    Failure::new(Reason::AlreadyExists, message)
        .with_details(taken.details().clone())
        .retry_after(1)
}
