use hyper::body::Incoming;
use resource::{Patch, Target};

use crate::accept::Shape;
use crate::answer::Answer;
use crate::call::Call;
use crate::status::Status;
use crate::{options, view};

/// Changes parts of an object.
pub(crate) async fn patch(
    call: &Call<'_>,
    target: &Target,
    body: Incoming,
) -> Result<Answer, Status> {
    let representation = call.representation(Shape::One)?;
    let media_type = call.content_type();
    // A type that is not taken is refused before its body is read.
    Patch::from_media_type(&media_type, &[])?;
    let body = call.body(body).await?;
    let patch = Patch::from_media_type(&media_type, &body)?;
    let options = options::write(call);
    let written = call.objects.patch(target, patch, &options).await?;
    view::written(call, representation, &written)
}
