use resource::Target;

use super::list::list_with;
use crate::answer::Answer;
use crate::call::Call;
use crate::options;
use crate::status::Status;

/// Lists the revisions of an object that are kept, deletions included: the same as a list with
/// the label selector that means history, under a path of its own.
pub(crate) async fn history(call: &Call<'_>, target: &Target) -> Result<Answer, Status> {
    let mut parameters = options::list(call.query)?.with_name(target.name());
    parameters.label_selector = "grafana.app/get-history=true".into();
    list_with(call, target.collection(), parameters).await
}
