use hyper::body::Incoming;
use resource::Collection;

use crate::accept::Shape;
use crate::answer::Answer;
use crate::call::Call;
use crate::status::Status;
use crate::{options, view};

/// Deletes the objects of a collection that match, and answers with them.
pub(crate) async fn delete_collection(
    call: &Call<'_>,
    collection: &Collection,
    body: Incoming,
) -> Result<Answer, Status> {
    let representation = call.representation(Shape::Many)?;
    let body = call.options_body(body).await?;
    let options = options::delete_collection(call.query, &body)?;
    let parameters = options::list(call.query)?;
    let objects = call.objects;
    let deleted = objects
        .delete_collection(collection, &parameters, &options)
        .await?;
    view::many(call, representation, &deleted)
}
