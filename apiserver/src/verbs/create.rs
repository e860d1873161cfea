use hyper::body::Incoming;
use resource::Collection;

use crate::accept::Shape;
use crate::answer::Answer;
use crate::call::Call;
use crate::status::Status;
use crate::{options, view};

/// Creates an object.
pub(crate) async fn create(
    call: &Call<'_>,
    collection: &Collection,
    body: Incoming,
) -> Result<Answer, Status> {
    let representation = call.representation(Shape::One)?;
    let body = call.object_body(body).await?;
    let options = options::write(call);
    let written = call.objects.create(collection, &body, &options).await?;
    view::written(call, representation, &written)
}
