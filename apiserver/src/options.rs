use resource::{DeleteOptions, GetParameters, ListParameters, WriteOptions};

use crate::call::Call;
use crate::query::Query;
use crate::status::Status;

/// Reads what a list, a watch or a deletion of a collection asks for.
pub(crate) fn list(query: &Query) -> Result<ListParameters, Status> {
    Ok(ListParameters {
        label_selector: text(query, "labelSelector"),
        field_selector: text(query, "fieldSelector"),
        limit: query.number("limit")?.filter(|limit| *limit > 0),
        continue_token: text(query, "continue"),
        resource_version: text(query, "resourceVersion"),
        resource_version_match: text(query, "resourceVersionMatch"),
        send_initial_events: query.switch("sendInitialEvents"),
        allow_watch_bookmarks: query.switch("allowWatchBookmarks").unwrap_or(false),
    })
}

/// Reads which revision is wanted.
pub(crate) fn get(query: &Query) -> GetParameters {
    GetParameters {
        resource_version: text(query, "resourceVersion"),
        resource_version_match: text(query, "resourceVersionMatch"),
    }
}

/// Reads how a write is done.
pub(crate) fn write(call: &Call<'_>) -> WriteOptions {
    WriteOptions {
        dry_run: call.query.all("dryRun").map(str::to_owned).collect(),
        field_validation: text(call.query, "fieldValidation"),
        field_manager: call.field_manager(),
    }
}

/// Reads how an object is deleted, from the body and from the query, which may hold preconditions.
pub(crate) fn delete(query: &Query, body: &[u8]) -> Result<DeleteOptions, Status> {
    let preconditions = DeleteOptions {
        uid: query.text("uid").map(str::to_owned),
        resource_version: query.text("resourceVersion").map(str::to_owned),
        ..DeleteOptions::default()
    };
    deletion(query, body, preconditions)
}

/// Reads how the objects of a list are deleted. A resource version in the query is the list's.
pub(crate) fn delete_collection(query: &Query, body: &[u8]) -> Result<DeleteOptions, Status> {
    deletion(query, body, DeleteOptions::default())
}

fn deletion(
    query: &Query,
    body: &[u8],
    preconditions: DeleteOptions,
) -> Result<DeleteOptions, Status> {
    let grace_period_seconds = query.number("gracePeriodSeconds")?;
    let from_query = DeleteOptions {
        propagation_policy: query.text("propagationPolicy").map(str::to_owned),
        grace_period_seconds: grace_period_seconds.and_then(|n| i64::try_from(n).ok()),
        orphan_dependents: query.switch("orphanDependents"),
        dry_run: query.all("dryRun").map(str::to_owned).collect(),
        ..preconditions
    };
    Ok(DeleteOptions::from_parts(body, from_query)?)
}

fn text(query: &Query, name: &str) -> String {
    query.text(name).unwrap_or_default().to_owned()
}
