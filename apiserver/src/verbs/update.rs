use hyper::body::Incoming;
use resource::Target;

use crate::accept::Shape;
use crate::answer::Answer;
use crate::call::Call;
use crate::status::Status;
use crate::{options, view};

/// Replaces an object.
pub(crate) async fn update(
    call: &Call<'_>,
    target: &Target,
    body: Incoming,
) -> Result<Answer, Status> {
    let representation = call.representation(Shape::One)?;
    let body = call.object_body(body).await?;
    let options = options::write(call);
    let written = call.objects.update(target, &body, &options).await?;
    view::written(call, representation, &written)
}
