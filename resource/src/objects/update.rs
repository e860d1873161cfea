use storage_core::{Precondition, Revision};

use super::commit::Committed;
use super::rivals::Rivals;
use super::{Effect, Objects, Written};
use crate::draft::{Decoded, Draft};
use crate::json::Map;
use crate::kind::{Missing, Unconditional};
use crate::metadata::finalizers;
use crate::options::{DryRun, WritePlan};
use crate::{Cause, Failure, Json, Object, Result, Target, WriteOptions};

/// What became of one attempt to replace an object.
pub(super) enum Attempt {
    Done(Written),
    /// Another writer was faster.
    Lost,
}

impl Objects {
    /// Replaces an object.
    ///
    /// The body's resource version must be the object's; what the server says of an object (uid,
    /// creation time, generation, deletion time) stays. A body that changes nothing writes nothing.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if the object changed since the body's version; `Invalid`;
    /// `BadRequest`. The kind's [`UpdatePolicy`](crate::UpdatePolicy) may allow more.
    pub async fn update(
        &self,
        target: &Target,
        body: &[u8],
        options: &WriteOptions,
    ) -> Result<Written> {
        let plan = options.check("UpdateOptions")?;
        let decoded = Draft::decode(target.kind(), body, plan.field_validation)?;
        check_name(&decoded.draft, target)?;
        let mut rivals = Rivals::new();
        loop {
            let Some(current) = self.newest(target).await? else {
                return self.update_missing(target, decoded, plan).await;
            };
            let conditional = check_version(&decoded.draft, &current)?;
            let copy = Decoded {
                draft: decoded.draft.clone(),
                warnings: decoded.warnings.clone(),
            };
            match (
                self.replace(target, &current, copy, plan).await?,
                conditional,
            ) {
                (Attempt::Done(written), _) => return Ok(written),
                (Attempt::Lost, Unconditional::Refuse) => {
                    return Err(target.kind().modified(target.name()));
                }
                (Attempt::Lost, Unconditional::Allow) => {}
            }
            if !rivals.may_try_again().await {
                return Err(target.kind().modified(target.name()));
            }
        }
    }

    async fn update_missing(
        &self,
        target: &Target,
        decoded: Decoded,
        plan: WritePlan,
    ) -> Result<Written> {
        match target.kind().update_policy().missing {
            Missing::Refuse => Err(target.kind().not_found(target.name())),
            Missing::Create if !decoded.draft.text("resourceVersion").is_empty() => {
                Err(target.kind().modified(target.name()))
            }
            Missing::Create => {
                let collection = target.collection();
                self.create_decoded(collection, decoded, plan).await
            }
        }
    }

    /// Replaces one version of an object by a draft.
    pub(super) async fn replace(
        &self,
        target: &Target,
        current: &Object,
        decoded: Decoded,
        plan: WritePlan,
    ) -> Result<Attempt> {
        let Decoded {
            mut draft,
            mut warnings,
        } = decoded;
        draft.place(target.collection())?;
        let old = current.read()?;
        let old = old.as_object().ok_or_else(|| not_an_object(current))?;
        keep_system_fields(&mut draft, old)?;
        warnings.extend(draft.drop_repeated_owners());
        warnings.extend(draft.kind.deprecation_warning().map(String::from));
        draft.validate()?;
        check_finalizers(&draft, old)?;
        let stored = if same(draft.fields(), old) {
            Some((current.clone(), Effect::Unchanged))
        } else {
            self.store_over(current, &draft, plan.dry_run).await?
        };
        Ok(match stored {
            None => Attempt::Lost,
            Some((object, effect)) => Attempt::Done(Written {
                object,
                effect,
                warnings,
            }),
        })
    }

    /// Stores a draft in place of a version; none if another writer was faster.
    async fn store_over(
        &self,
        current: &Object,
        draft: &Draft,
        dry_run: DryRun,
    ) -> Result<Option<(Object, Effect)>> {
        let (kind, key, expected) = (current.kind(), current.key(), current.revision());
        let value = draft.encode()?;
        let removed = is_deleting(draft) && finalizers(draft.metadata()).is_empty();
        let committed = match dry_run {
            DryRun::All => Committed::Yes(expected),
            DryRun::No if removed => self.remove(key, expected, value.clone()).await?,
            DryRun::No => {
                let expected = Precondition::Revision(expected);
                self.put(key, expected, value.clone()).await?
            }
        };
        let effect = if removed {
            Effect::Removed
        } else {
            Effect::Updated
        };
        match committed {
            Committed::Conflict(None) => Err(kind.not_found(current.name())),
            Committed::Conflict(Some(_)) => Ok(None),
            Committed::Yes(revision) => {
                let object = Object::from_value(kind.clone(), key.clone(), revision, value)?;
                Ok(Some((object, effect)))
            }
        }
    }
}

fn not_an_object(current: &Object) -> Failure {
    Failure::internal(format!(
        "the stored value of {} is not an object",
        current.key()
    ))
}

fn check_name(draft: &Draft, target: &Target) -> Result<()> {
    let (found, wanted) = (draft.name(), target.name());
    if found.is_empty() {
        return Err(Failure::bad_request(format!(
            "the name of the object ({wanted} based on URL) was undeterminable: \
             name must be provided"
        )));
    }
    if found != wanted {
        return Err(Failure::bad_request(format!(
            "the name of the object ({found}) does not match the name on the URL ({wanted})"
        )));
    }
    Ok(())
}

/// Compares the version of a body with the newest one; tells whether the body has none.
fn check_version(draft: &Draft, current: &Object) -> Result<Unconditional> {
    let kind = &draft.kind;
    let given = draft.text("resourceVersion");
    if matches!(given, "" | "0") {
        return match kind.update_policy().unconditional {
            Unconditional::Allow => Ok(Unconditional::Allow),
            Unconditional::Refuse => {
                let why = "must be specified for an update";
                let cause = Cause::invalid("metadata.resourceVersion", "0", why);
                Err(kind.invalid(draft.name(), vec![cause]))
            }
        };
    }
    let Ok(given) = given.parse::<Revision>() else {
        let value = format!("{given:?}");
        let cause = Cause::invalid(
            "metadata.resourceVersion",
            value,
            "must be a version number",
        );
        return Err(kind.invalid(draft.name(), vec![cause]));
    };
    if given == current.revision() {
        Ok(Unconditional::Refuse)
    } else {
        Err(kind.modified(draft.name()))
    }
}

/// Sets what the server says of an object as it was, whatever the client said.
fn keep_system_fields(draft: &mut Draft, old: &Map) -> Result<()> {
    let before = old.get("metadata").and_then(Json::as_object);
    let before = |field: &str| before.and_then(|metadata| metadata.get(field)).cloned();
    let (given, actual) = (draft.text("uid"), before("uid"));
    let actual = actual.as_ref().and_then(Json::as_str).unwrap_or_default();
    if !given.is_empty() && given != actual {
        return Err(draft.kind.conflict(
            draft.name(),
            &format!(
                "Precondition failed: UID in precondition: {given}, UID in object meta: {actual}"
            ),
        ));
    }
    let metadata = draft.metadata_mut();
    metadata.remove("resourceVersion");
    metadata.remove("selfLink");
    for field in [
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "managedFields",
        "uid",
    ] {
        match before(field) {
            Some(value) => metadata.insert(field.into(), value),
            None => metadata.remove(field),
        };
    }
    if draft.kind.subresources().status {
        match old.get("status").cloned() {
            Some(status) => draft.fields_mut().insert("status".into(), status),
            None => draft.fields_mut().remove("status"),
        };
    }
    if content_changed(draft.fields(), old) {
        bump_generation(draft.metadata_mut());
    }
    Ok(())
}

/// Tells whether anything outside of the metadata differs.
fn content_changed(new: &Map, old: &Map) -> bool {
    fn content(map: &Map) -> impl Iterator<Item = (&String, &Json)> {
        map.iter().filter(|(field, _)| *field != "metadata")
    }
    content(new).ne(content(old))
}

pub(super) fn bump_generation(metadata: &mut Map) {
    let generation = match metadata.get("generation") {
        Some(Json::Number(number)) => number.as_i64().unwrap_or_default(),
        _ => 0,
    };
    let next = generation.saturating_add(1);
    metadata.insert("generation".into(), next.into());
}

fn is_deleting(draft: &Draft) -> bool {
    !draft.text("deletionTimestamp").is_empty()
}

fn check_finalizers(draft: &Draft, old: &Map) -> Result<()> {
    if !is_deleting(draft) {
        return Ok(());
    }
    let before = old.get("metadata").and_then(Json::as_object);
    let before = before.map(finalizers).unwrap_or_default();
    let added: Vec<String> = finalizers(draft.metadata())
        .into_iter()
        .filter(|finalizer| !before.contains(finalizer))
        .map(|finalizer| format!("{finalizer:?}"))
        .collect();
    if added.is_empty() {
        return Ok(());
    }
    let why = format!(
        "no new finalizers can be added if the object is being deleted, \
         found new finalizers []string{{{}}}",
        added.join(", ")
    );
    let cause = Cause::forbidden("metadata.finalizers", &why);
    Err(draft.kind.invalid(draft.name(), vec![cause]))
}

/// Tells whether two versions of an object are the same but for the version itself.
fn same(new: &Map, old: &Map) -> bool {
    let mut old_metadata = old.get("metadata").cloned().unwrap_or_default();
    old_metadata.object_mut().remove("resourceVersion");
    new.get("metadata") == Some(&old_metadata) && !content_changed(new, old)
}
