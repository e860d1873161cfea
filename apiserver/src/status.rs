use bytes::Bytes;
use resource::{Failure, Reason};
use serde::Serialize;

use crate::limits::RETRY_AFTER_SECONDS;

/// The answer to a request that failed, and to a deletion that left nothing behind: the
/// `metav1.Status` of the Kubernetes API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status(Box<Fields>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Fields {
    kind: &'static str,
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    metadata: ListMeta,
    status: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
    code: u16,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct ListMeta {
    /// Where a list goes on after its pages expired.
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    resume: Option<String>,
}

/// What a failed request was about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Details {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) causes: Vec<Cause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after_seconds: Option<u32>,
}

/// One of the reasons of a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Cause {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) reason: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) field: String,
}

/// Returns the HTTP code of a reason.
const fn code(reason: Reason) -> u16 {
    match reason {
        Reason::BadRequest => 400,
        Reason::Unauthorized => 401,
        Reason::Forbidden => 403,
        Reason::NotFound => 404,
        Reason::MethodNotAllowed => 405,
        Reason::NotAcceptable => 406,
        Reason::AlreadyExists | Reason::Conflict => 409,
        Reason::Expired => 410,
        Reason::RequestEntityTooLarge => 413,
        Reason::UnsupportedMediaType => 415,
        Reason::Invalid => 422,
        Reason::TooManyRequests => 429,
        Reason::InternalError | Reason::ServerTimeout => 500,
        Reason::ServiceUnavailable => 503,
        Reason::Timeout => 504,
    }
}

impl Status {
    pub(crate) fn failure(reason: Reason, message: impl Into<String>) -> Self {
        Self(Box::new(Fields {
            kind: "Status",
            api_version: "v1",
            metadata: ListMeta::default(),
            status: "Failure",
            message: message.into(),
            reason: Some(reason.as_str()),
            details: None,
            code: code(reason),
        }))
    }

    /// A request that succeeded and left nothing to show.
    pub(crate) fn success(details: Details) -> Self {
        let mut status = Self::failure(Reason::InternalError, "").with_details(details);
        status.0.status = "Success";
        status.0.reason = None;
        status.0.code = 200;
        status
    }

    pub(crate) fn with_details(mut self, details: Details) -> Self {
        self.0.details = Some(details);
        self
    }

    /// Overrides the code where the API uses a reason with another one.
    pub(crate) fn with_code(mut self, code: u16) -> Self {
        self.0.code = code;
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(Reason::BadRequest, message)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::failure(Reason::Unauthorized, "Unauthorized")
    }

    /// The resource, the group-version or the subresource is not served.
    pub(crate) fn no_such_resource() -> Self {
        Self::failure(
            Reason::NotFound,
            "the server could not find the requested resource",
        )
        .with_details(Details::default())
    }

    pub(crate) fn method_not_allowed(verb: &str, group: &str, resource: &str) -> Self {
        let qualified = qualified(resource, group);
        Self::failure(
            Reason::MethodNotAllowed,
            format!("{verb} is not supported on resources of kind {qualified:?}"),
        )
        .with_details(Details {
            group: group.into(),
            kind: resource.into(),
            ..Details::default()
        })
    }

    pub(crate) fn not_acceptable(accepted: &[&str]) -> Self {
        let accepted = accepted.join(", ");
        let message = format!("only the following media types are accepted: {accepted}");
        Self::failure(Reason::NotAcceptable, message)
    }

    pub(crate) fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::failure(Reason::UnsupportedMediaType, message)
    }

    /// A path that is not of objects takes GET alone.
    pub(crate) fn method_not_served() -> Self {
        Self::failure(
            Reason::MethodNotAllowed,
            "the server does not allow this method on the requested resource",
        )
        .with_details(Details::default())
    }

    pub(crate) fn uri_too_long(limit_bytes: usize) -> Self {
        let message = format!("Request URI too long: limit is {limit_bytes}");
        Self::failure(Reason::BadRequest, message).with_code(414)
    }

    pub(crate) fn body_too_large(limit_bytes: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit_bytes}");
        Self::failure(Reason::RequestEntityTooLarge, message)
    }

    pub(crate) fn too_many_requests() -> Self {
        Self::failure(
            Reason::TooManyRequests,
            "too many requests, please try again later",
        )
        .retry_later()
    }

    pub(crate) fn shutting_down() -> Self {
        let message = "the server is shutting down, please try again later";
        Self::failure(Reason::ServiceUnavailable, message).retry_later()
    }

    pub(crate) fn timeout(after: std::time::Duration) -> Self {
        Self::failure(
            Reason::Timeout,
            format!("Timeout: request did not complete within requested timeout {after:?}"),
        )
        .with_details(Details::default())
    }

    pub(crate) fn internal(message: &str) -> Self {
        Self::failure(
            Reason::InternalError,
            format!("Internal error occurred: {message}"),
        )
        .with_details(Details {
            causes: vec![Cause {
                reason: "",
                message: message.into(),
                field: String::new(),
            }],
            ..Details::default()
        })
    }

    /// `group` and `resource` are empty for a path that is not of an object.
    pub(crate) fn forbidden(subject: &str, message: &str, details: Details) -> Self {
        let text = if subject.is_empty() {
            format!("forbidden: {message}")
        } else {
            format!("{subject} is forbidden: {message}")
        };
        Self::failure(Reason::Forbidden, text).with_details(details)
    }

    /// Asks the client to come back: clients retry only what has `Retry-After`.
    pub(crate) fn retry_later(mut self) -> Self {
        let details = self.0.details.get_or_insert_default();
        details.retry_after_seconds = Some(RETRY_AFTER_SECONDS);
        self
    }

    pub(crate) const fn code(&self) -> u16 {
        self.0.code
    }

    #[cfg(test)]
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    pub(crate) fn retry_after_seconds(&self) -> Option<u32> {
        self.0.details.as_ref()?.retry_after_seconds
    }

    pub(crate) fn to_json(&self) -> Bytes {
        // A struct of strings and numbers always serialises.
        let mut json = serde_json::to_vec(&self.0).unwrap_or_default();
        json.push(b'\n');
        json.into()
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        Self::from(&failure)
    }
}

impl From<&Failure> for Status {
    fn from(failure: &Failure) -> Self {
        let details = failure.details();
        let causes = details.causes.iter().map(|cause| Cause {
            reason: cause.reason.as_str(),
            message: cause.message.clone(),
            field: cause.field.clone(),
        });
        let mut status = Self::failure(failure.reason(), failure.message()).with_details(Details {
            name: details.name.clone(),
            group: details.group.clone(),
            kind: details.kind.clone(),
            uid: details.uid.clone(),
            causes: causes.collect(),
            retry_after_seconds: details.retry_after_seconds,
        });
        status.0.metadata.resume = details.continue_token.clone();
        if status.0.details == Some(Details::default()) {
            status.0.details = None;
        }
        status
    }
}

/// Returns `resource.group`, or the resource alone in the core group.
pub(crate) fn qualified(resource: &str, group: &str) -> String {
    if group.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}.{group}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_the_api() {
        let status = Status::method_not_allowed("create", "g.io", "things");
        assert_eq!(
            status.message(),
            "create is not supported on resources of kind \"things.g.io\""
        );
        assert_eq!(
            Status::body_too_large(3 << 20).message(),
            "Request entity too large: limit is 3145728"
        );
        let json: serde_json::Value =
            serde_json::from_slice(&Status::too_many_requests().to_json()).unwrap();
        insta::assert_json_snapshot!(json, @r#"
        {
          "apiVersion": "v1",
          "code": 429,
          "details": {
            "retryAfterSeconds": 1
          },
          "kind": "Status",
          "message": "too many requests, please try again later",
          "metadata": {},
          "reason": "TooManyRequests",
          "status": "Failure"
        }
        "#);
    }

    #[test]
    fn success_has_no_reason() {
        let json: serde_json::Value =
            serde_json::from_slice(&Status::success(Details::default()).to_json()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"kind": "Status", "apiVersion": "v1", "metadata": {},
                "status": "Success", "details": {}, "code": 200})
        );
    }
}
