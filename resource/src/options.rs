use serde::Deserialize;

use crate::limits::FIELD_MANAGER_BYTES_MAX;
use crate::{Cause, CauseReason, Failure, Result, json};

/// Query parameters of a write, as the URL has them; they are checked when the write is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// `dryRun`, each value: `All` or nothing.
    pub dry_run: Vec<String>,
    /// `fieldValidation`: `Ignore`, `Warn` (the default) or `Strict`.
    pub field_validation: String,
    /// `fieldManager`.
    pub field_manager: String,
}

/// Body and query parameters of a delete, as they came; checked when the delete is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// The uid that the object must have.
    pub uid: Option<String>,
    /// The resource version that the object must have.
    pub resource_version: Option<String>,
    /// `Background`, `Foreground` or `Orphan`.
    pub propagation_policy: Option<String>,
    /// Accepted and without effect: custom resources have no grace period.
    pub grace_period_seconds: Option<i64>,
    /// The older spelling of `propagationPolicy: Orphan`.
    pub orphan_dependents: Option<bool>,
    /// `All` or nothing.
    pub dry_run: Vec<String>,
}

/// Whether a request changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DryRun {
    /// It is made.
    No,
    /// Everything but the write is done.
    All,
}

/// What becomes of fields that the schema does not know and of fields that occur twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// Write options that were checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WritePlan {
    pub(crate) dry_run: DryRun,
    pub(crate) field_validation: FieldValidation,
}

impl WriteOptions {
    pub(crate) fn check(&self, type_name: &str) -> Result<WritePlan> {
        let mut causes = Vec::new();
        let plan = WritePlan {
            dry_run: dry_run(&self.dry_run, &mut causes),
            field_validation: field_validation(&self.field_validation, &mut causes),
        };
        if self.field_manager.len() > FIELD_MANAGER_BYTES_MAX {
            let why = format!("Too long: may not be more than {FIELD_MANAGER_BYTES_MAX} bytes");
            causes.push(Cause::new(CauseReason::TooLong, "fieldManager", why));
        }
        if self.field_manager.chars().any(char::is_control) {
            let manager = format!("{:?}", self.field_manager);
            let why = "should only contain printable characters";
            causes.push(Cause::invalid("fieldManager", manager, why));
        }
        if causes.is_empty() {
            Ok(plan)
        } else {
            Err(Failure::invalid_options(type_name, causes))
        }
    }
}

fn dry_run(values: &[String], causes: &mut Vec<Cause>) -> DryRun {
    for value in values.iter().filter(|value| *value != "All") {
        let supported = ["\"All\"".into()];
        causes.push(Cause::not_supported(
            "dryRun",
            format!("{value:?}"),
            &supported,
        ));
    }
    if values.is_empty() {
        DryRun::No
    } else {
        DryRun::All
    }
}

fn field_validation(value: &str, causes: &mut Vec<Cause>) -> FieldValidation {
    match value {
        "Ignore" => FieldValidation::Ignore,
        "" | "Warn" => FieldValidation::Warn,
        "Strict" => FieldValidation::Strict,
        other => {
            let supported = ["", "Ignore", "Strict", "Warn"].map(|word| format!("{word:?}"));
            let other = format!("{other:?}");
            causes.push(Cause::not_supported("fieldValidation", other, &supported));
            FieldValidation::Strict
        }
    }
}

/// `DeleteOptions` as a body writes them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeleteBody {
    kind: Option<String>,
    preconditions: Option<Preconditions>,
    propagation_policy: Option<String>,
    grace_period_seconds: Option<i64>,
    orphan_dependents: Option<bool>,
    dry_run: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

impl DeleteOptions {
    /// Joins body and query parameters; the body counts where both say something. An empty body
    /// says nothing.
    ///
    /// # Errors
    /// `BadRequest` if the body is not `DeleteOptions` in JSON.
    pub fn from_parts(body: &[u8], query: Self) -> Result<Self> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(query);
        }
        // The reader with limits goes first, so that no body can exhaust the stack.
        json::parse(body).map_err(Failure::bad_request)?;
        let body: DeleteBody = serde_json::from_slice(body)
            .map_err(|error| Failure::bad_request(format!("invalid DeleteOptions: {error}")))?;
        if let Some(kind) = body.kind.filter(|kind| kind != "DeleteOptions") {
            return Err(Failure::bad_request(format!(
                "the body of a delete must be DeleteOptions, not {kind}"
            )));
        }
        let preconditions = body.preconditions.unwrap_or_default();
        Ok(Self {
            uid: preconditions.uid.or(query.uid),
            resource_version: preconditions.resource_version.or(query.resource_version),
            propagation_policy: body.propagation_policy.or(query.propagation_policy),
            grace_period_seconds: body.grace_period_seconds.or(query.grace_period_seconds),
            orphan_dependents: body.orphan_dependents.or(query.orphan_dependents),
            dry_run: body.dry_run.unwrap_or(query.dry_run),
        })
    }

    /// Checks the options. The propagation policy decides what happens to dependents, objects that
    /// name this one in `ownerReferences`; nothing collects dependents yet, so they stay under
    /// every policy, and no policy leaves a finalizer that nobody would remove.
    pub(crate) fn check(&self) -> Result<DryRun> {
        let mut causes = Vec::new();
        let dry_run = dry_run(&self.dry_run, &mut causes);
        if let Some(policy) = &self.propagation_policy {
            let known = ["Background", "Foreground", "Orphan"];
            if !known.contains(&&**policy) {
                let supported = known.map(|word| format!("{word:?}"));
                let policy = format!("{policy:?}");
                causes.push(Cause::not_supported(
                    "propagationPolicy",
                    policy,
                    &supported,
                ));
            }
            if self.orphan_dependents.is_some() {
                let why = "orphanDependents and deletionPropagation cannot be both set";
                causes.push(Cause::invalid(
                    "propagationPolicy",
                    format!("{policy:?}"),
                    why,
                ));
            }
        }
        if causes.is_empty() {
            Ok(dry_run)
        } else {
            Err(Failure::invalid_options("DeleteOptions", causes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.unwrap_err().message().into()
    }

    #[test]
    fn unknown_values_are_refused() {
        let options = WriteOptions {
            dry_run: vec!["Some".into()],
            field_validation: "Loud".into(),
            field_manager: "x".repeat(129),
        };
        assert_eq!(
            message(options.check("CreateOptions")),
            "CreateOptions.meta.k8s.io \"\" is invalid: \
             [dryRun: Unsupported value: \"Some\": supported values: \"All\", \
             fieldValidation: Unsupported value: \"Loud\": \
             supported values: \"\", \"Ignore\", \"Strict\", \"Warn\", \
             fieldManager: Too long: may not be more than 128 bytes]"
        );
    }

    #[test]
    fn a_delete_body_goes_before_the_query() {
        let query = DeleteOptions {
            propagation_policy: Some("Orphan".into()),
            dry_run: vec!["All".into()],
            ..DeleteOptions::default()
        };
        let empty = DeleteOptions::from_parts(b" ", query.clone()).unwrap();
        assert_eq!(empty, query);
        let body = br#"{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0,
            "propagationPolicy":"Background","preconditions":{"uid":"u"}}"#;
        let both = DeleteOptions::from_parts(body, query).unwrap();
        assert_eq!(both.propagation_policy.as_deref(), Some("Background"));
        assert_eq!((both.uid.as_deref(), both.dry_run.len()), (Some("u"), 1));
        assert_eq!(both.check().unwrap(), DryRun::All);
        let pod = DeleteOptions::from_parts(br#"{"kind":"Pod"}"#, DeleteOptions::default());
        assert_eq!(
            message(pod),
            "the body of a delete must be DeleteOptions, not Pod"
        );
        let unknown = DeleteOptions {
            propagation_policy: Some("Now".into()),
            ..DeleteOptions::default()
        };
        assert_eq!(
            message(unknown.check()),
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \
             \"Now\": supported values: \"Background\", \"Foreground\", \"Orphan\""
        );
    }
}
