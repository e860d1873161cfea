use resource::Target;

use crate::accept::Shape;
use crate::answer::Answer;
use crate::call::Call;
use crate::status::Status;
use crate::{options, view};

/// Answers with one object.
pub(crate) async fn get(call: &Call<'_>, target: &Target) -> Result<Answer, Status> {
    let representation = call.representation(Shape::One)?;
    let parameters = options::get(call.query);
    let object = call.objects.get(target, &parameters).await?;
    view::one(call, representation, &object)
}
