use hyper::body::Incoming;
use resource::Target;
use serde::Deserialize;
use storage_core::Revision;

use crate::accept::Shape;
use crate::answer::Answer;
use crate::call::Call;
use crate::status::Status;
use crate::{options, view};

/// What the body of a restore may say; the query may say it too.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RestoreOptions {
    resource_version: Option<String>,
}

/// Takes an object out of the trash, or sets it back to an old revision.
pub(crate) async fn restore(
    call: &Call<'_>,
    target: &Target,
    body: Incoming,
) -> Result<Answer, Status> {
    let representation = call.representation(Shape::One)?;
    let body = call.options_body(body).await?;
    let revision = revision(call, &body)?;
    let options = options::write(call);
    let objects = call.objects;
    let written = objects.restore(target, revision, &options).await?;
    view::written(call, representation, &written)
}

fn revision(call: &Call<'_>, body: &[u8]) -> Result<Option<Revision>, Status> {
    let in_body = if body.iter().all(u8::is_ascii_whitespace) {
        RestoreOptions::default()
    } else {
        serde_json::from_slice(body)
            .map_err(|error| Status::bad_request(format!("restore options: {error}")))?
    };
    let text = call.query.text("resourceVersion");
    match text.or(in_body.resource_version.as_deref()) {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            Status::bad_request(format!("resourceVersion {text:?} must be a revision"))
        }),
    }
}
