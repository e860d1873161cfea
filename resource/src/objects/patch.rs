use super::rivals::Rivals;
use super::update::Attempt;
use super::{Objects, Written};
use crate::draft::{Decoded, Draft};
use crate::json::{self, Parsed};
use crate::json_patch::JsonPatch;
use crate::merge_patch::merge;
use crate::options::{FieldValidation, WritePlan};
use crate::{Failure, Json, Object, Result, Target, WriteOptions};

/// A change of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch<'a> {
    /// RFC 6902.
    Json(&'a [u8]),
    /// RFC 7396.
    Merge(&'a [u8]),
}

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";

impl<'a> Patch<'a> {
    /// Takes the body of a patch by its media type; parameters of the type do not matter.
    ///
    /// # Errors
    /// `UnsupportedMediaType` for other types, strategic merge and apply among them.
    pub fn from_media_type(media_type: &str, body: &'a [u8]) -> Result<Self> {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            JSON_PATCH => Ok(Self::Json(body)),
            MERGE_PATCH => Ok(Self::Merge(body)),
            _ => Err(Failure::unsupported_media_type(&[JSON_PATCH, MERGE_PATCH])),
        }
    }
}

/// A patch that was read.
enum Change {
    Operations(JsonPatch),
    Merge(Json),
}

impl Objects {
    /// Changes an object by a patch.
    ///
    /// The patch is applied to the newest version, again when another writer was faster. A resource
    /// version in its result is a precondition.
    ///
    /// # Errors
    /// `NotFound`; `BadRequest` for a patch that cannot be read; `Invalid` for one that does not
    /// apply or whose result breaks a rule; `Conflict`.
    pub async fn patch(
        &self,
        target: &Target,
        patch: Patch<'_>,
        options: &WriteOptions,
    ) -> Result<Written> {
        let plan = options.check("PatchOptions")?;
        let (change, problems) = read(patch)?;
        let mut rivals = Rivals::new();
        loop {
            let current = self.existing(target).await?;
            let decoded = patched(&change, &problems, &current, plan)?;
            check_same_object(&decoded.draft, &current)?;
            if let Attempt::Done(written) = self.replace(target, &current, decoded, plan).await? {
                return Ok(written);
            }
            if !rivals.may_try_again().await {
                return Err(target.kind().modified(target.name()));
            }
        }
    }
}

/// Reads a patch; also returns what a strict reader would complain about.
fn read(patch: Patch<'_>) -> Result<(Change, Vec<String>)> {
    match patch {
        Patch::Json(body) => {
            let parsed = json::parse(body).map_err(Failure::bad_request)?;
            let (operations, unknown) = JsonPatch::read(parsed.root)?;
            let unknown = unknown
                .into_iter()
                .map(|path| format!("json patch unknown field {path:?}"));
            let duplicates = parsed
                .duplicates
                .into_iter()
                .map(|path| format!("json patch duplicate field {path:?}"));
            let problems = unknown.chain(duplicates).collect();
            Ok((Change::Operations(operations), problems))
        }
        Patch::Merge(body) => {
            let parsed = json::parse(body).map_err(Failure::bad_request)?;
            if parsed.root.as_object().is_none() {
                return Err(Failure::bad_request(format!(
                    "a merge patch must be a JSON object, not {}",
                    parsed.root.type_name()
                )));
            }
            let duplicates = parsed.duplicates.into_iter();
            let problems = duplicates.map(|path| format!("duplicate field {path:?}"));
            Ok((Change::Merge(parsed.root), problems.collect()))
        }
    }
}

fn patched(
    change: &Change,
    problems: &[String],
    current: &Object,
    plan: WritePlan,
) -> Result<Decoded> {
    let mut root = current.read()?;
    match change {
        Change::Operations(operations) => operations.apply(&mut root)?,
        Change::Merge(patch) => merge(&mut root, patch),
    }
    let duplicates = Vec::new();
    // Its own problems are joined with those of the patch below, in one message.
    let lenient = match plan.field_validation {
        FieldValidation::Ignore => FieldValidation::Ignore,
        FieldValidation::Warn | FieldValidation::Strict => FieldValidation::Warn,
    };
    let parsed = Parsed { root, duplicates };
    let mut decoded = Draft::from_json(current.kind(), parsed, lenient)?;
    match plan.field_validation {
        FieldValidation::Ignore => {}
        FieldValidation::Warn => decoded
            .warnings
            .splice(0..0, problems.iter().cloned())
            .for_each(drop),
        FieldValidation::Strict => {
            let all: Vec<&str> = problems
                .iter()
                .chain(&decoded.warnings)
                .map(String::as_str)
                .collect();
            if !all.is_empty() {
                let all = all.join(", ");
                return Err(Failure::bad_request(format!(
                    "strict decoding error: {all}"
                )));
            }
        }
    }
    Ok(decoded)
}

/// A patch may not turn an object into another one, and its resource version is a precondition.
fn check_same_object(draft: &Draft, current: &Object) -> Result<()> {
    let kind = current.kind();
    for (field, wanted) in [("apiVersion", kind.api_version()), ("kind", kind.kind())] {
        let found = draft.root.get(field).and_then(Json::as_str);
        if found != Some(wanted) {
            return Err(Failure::bad_request(format!(
                "{field} cannot be patched: it must be {wanted}"
            )));
        }
    }
    if draft.name() != current.name() {
        let (found, wanted) = (draft.name(), current.name());
        return Err(Failure::bad_request(format!(
            "the name of the object ({found}) does not match the name on the URL ({wanted})"
        )));
    }
    let given = draft.text("resourceVersion");
    if !given.is_empty() && given != current.revision().to_string() {
        return Err(kind.modified(current.name()));
    }
    Ok(())
}
