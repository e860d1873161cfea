use hyper::body::Incoming;
use resource::{Deletion, Target};

use crate::accept::Shape;
use crate::answer::{Answer, Payload};
use crate::call::Call;
use crate::status::{Details, Status};
use crate::{options, view};

/// Deletes an object: gone at once, or marked until its finalizers are gone.
pub(crate) async fn delete(
    call: &Call<'_>,
    target: &Target,
    body: Incoming,
) -> Result<Answer, Status> {
    let representation = call.representation(Shape::One)?;
    let body = call.options_body(body).await?;
    let options = options::delete(call.query, &body)?;
    match call.objects.delete(target, &options).await? {
        Deletion::Waiting(object) => view::one(call, representation, &object),
        Deletion::Gone { uid, .. } => {
            let status = Status::success(Details {
                name: target.name().to_owned(),
                group: target.kind().group().to_owned(),
                kind: target.kind().plural().to_owned(),
                uid,
                ..Details::default()
            });
            Ok(Answer::json(Payload::Bytes(status.to_json())))
        }
    }
}
