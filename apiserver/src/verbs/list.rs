use std::io;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use resource::{Collection, ListParameters, ObjectList, Objects};

use crate::accept::Shape;
use crate::answer::{Answer, Payload};
use crate::call::Call;
use crate::limits::STREAM_PAGE_ITEMS;
use crate::options;
use crate::status::Status;
use crate::view::{self, View};

/// Answers with the objects of a collection.
pub(crate) async fn list(call: &Call<'_>, collection: &Collection) -> Result<Answer, Status> {
    list_with(call, collection, options::list(call.query)?).await
}

/// The same, with parameters of ours.
pub(super) async fn list_with(
    call: &Call<'_>,
    collection: &Collection,
    parameters: ListParameters,
) -> Result<Answer, Status> {
    let representation = call.representation(Shape::Many)?;
    let objects = call.objects;
    if parameters.limit.is_some() {
        let parameters = newest_for_zero(parameters);
        let page = objects.list(collection, &parameters).await?;
        return view::many(call, representation, &page);
    }
    let mut parameters = unpaged(parameters);
    let first = objects.list(collection, &parameters).await?;
    if first.next.is_none() {
        return view::many(call, representation, &first);
    }
    parameters.resource_version.clear();
    parameters.resource_version_match.clear();
    let pages = Pages {
        objects: objects.clone(),
        collection: collection.clone(),
        parameters,
        view: View::of_list(call, representation, collection.kind())?,
        state: State::First(Box::new(first)),
    };
    let pages = stream::unfold(pages, |mut pages| async move {
        let page = pages.render_next().await?;
        Some((page, pages))
    });
    Ok(Answer::json(Payload::Pages(pages.boxed())))
}

/// "Any state" may be the newest, and that can be paged, so that no list is held in memory.
fn newest_for_zero(mut parameters: ListParameters) -> ListParameters {
    let any_match = matches!(
        parameters.resource_version_match.as_str(),
        "" | "NotOlderThan"
    );
    if parameters.resource_version == "0" && any_match {
        parameters.resource_version.clear();
        parameters.resource_version_match.clear();
    }
    parameters
}

/// A list without a limit is read page by page. A revision without a rule means "not older than"
/// there, while for a page it would mean "exactly".
fn unpaged(parameters: ListParameters) -> ListParameters {
    let mut parameters = newest_for_zero(parameters);
    let plain = parameters.resource_version_match.is_empty();
    if !parameters.resource_version.is_empty() && plain && parameters.continue_token.is_empty() {
        parameters.resource_version_match = "NotOlderThan".into();
    }
    parameters.limit = Some(STREAM_PAGE_ITEMS as u64);
    parameters
}

/// A list that is written page by page, all of one revision.
struct Pages {
    objects: Objects,
    collection: Collection,
    parameters: ListParameters,
    view: View,
    state: State,
}

enum State {
    First(Box<ObjectList>),
    After(String),
    Done,
}

impl Pages {
    async fn render_next(&mut self) -> Option<io::Result<Bytes>> {
        let (page, is_first) = match std::mem::replace(&mut self.state, State::Done) {
            State::Done => return None,
            State::First(page) => (*page, true),
            State::After(token) => {
                self.parameters.continue_token = token;
                match self.objects.list(&self.collection, &self.parameters).await {
                    Ok(page) => (page, false),
                    Err(failure) => return Some(Err(broken(&Status::from(failure)))),
                }
            }
        };
        Some(self.render(page, is_first))
    }

    fn render(&mut self, page: ObjectList, is_first: bool) -> io::Result<Bytes> {
        let mut out = Vec::new();
        if is_first {
            let metadata = format!("{{\"resourceVersion\":\"{}\"}}", page.revision);
            self.view.list_head(metadata.as_bytes(), &mut out);
        }
        let items = self.view.items(&page.items, is_first, &mut out);
        items.map_err(|status| broken(&status))?;
        match page.next {
            Some(token) => self.state = State::After(token),
            None => View::list_tail(&mut out),
        }
        Ok(out.into())
    }
}

/// The head of the answer is long sent: all that is left is to break it off.
fn broken(status: &Status) -> io::Error {
    tracing::warn!(code = status.code(), "a list broke off between two pages");
    io::Error::other("the list broke off")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(version: &str, rule: &str) -> ListParameters {
        ListParameters {
            resource_version: version.into(),
            resource_version_match: rule.into(),
            ..ListParameters::default()
        }
    }

    #[test]
    fn unpaged_lists_keep_their_meaning() {
        for (version, rule, version_then, rule_then) in [
            ("", "", "", ""),
            ("0", "", "", ""),
            ("0", "NotOlderThan", "", ""),
            ("0", "Exact", "0", "Exact"),
            ("5", "", "5", "NotOlderThan"),
            ("5", "Exact", "5", "Exact"),
            ("x", "", "x", "NotOlderThan"),
        ] {
            let list = unpaged(parameters(version, rule));
            assert_eq!(list.resource_version, version_then, "{version} {rule}");
            assert_eq!(list.resource_version_match, rule_then, "{version} {rule}");
        }
    }
}
