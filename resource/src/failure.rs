use std::fmt;

/// The result of an operation on objects.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// A refusal: everything that a `metav1.Status` says. Prints its message.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure(Box<Parts>);

#[derive(Clone, PartialEq, Eq)]
struct Parts {
    reason: Reason,
    message: String,
    details: Details,
}

/// What a client may act on, besides reason and message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The object's name.
    pub name: String,
    /// The API group.
    pub group: String,
    /// The resource (plural); the kind where the reason is [`Reason::Invalid`].
    pub kind: String,
    /// The object's uid.
    pub uid: String,
    /// What is wrong, field by field.
    pub causes: Vec<Cause>,
    /// When it makes sense to ask again.
    pub retry_after_seconds: Option<u32>,
    /// For an expired page: continues with the newest state.
    pub continue_token: Option<String>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The kind of mistake.
    pub reason: CauseReason,
    /// What is wrong, without the field.
    pub message: String,
    /// The field, `spec.items[0].type`; empty where none is to blame.
    pub field: String,
}

macro_rules! wire_words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// All of them, for tables that must answer each.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// Returns the word on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

wire_words! {
    /// Why a request was refused: the `reason` of a status.
    Reason {
        /// The request cannot be understood.
        BadRequest => "BadRequest",
        /// Nobody known asked.
        Unauthorized => "Unauthorized",
        /// Whoever asked may not.
        Forbidden => "Forbidden",
        /// The object does not exist.
        NotFound => "NotFound",
        /// The resource has no such verb.
        MethodNotAllowed => "MethodNotAllowed",
        /// No accepted media type can be produced.
        NotAcceptable => "NotAcceptable",
        /// The object exists.
        AlreadyExists => "AlreadyExists",
        /// The object changed, or a precondition does not hold.
        Conflict => "Conflict",
        /// The version asked for is no longer kept.
        Expired => "Expired",
        /// The request is too large.
        RequestEntityTooLarge => "RequestEntityTooLarge",
        /// The body's media type is not understood.
        UnsupportedMediaType => "UnsupportedMediaType",
        /// The object or the options break a rule.
        Invalid => "Invalid",
        /// The server is busy; nothing was done.
        TooManyRequests => "TooManyRequests",
        /// A fault of the server.
        InternalError => "InternalError",
        /// The server could not finish now; the same request may succeed later.
        ServerTimeout => "ServerTimeout",
        /// The store cannot be reached; nothing was done.
        ServiceUnavailable => "ServiceUnavailable",
        /// The answer did not come in time; a write may or may not have been made.
        Timeout => "Timeout",
    }
}

wire_words! {
    /// The `reason` of a cause.
    CauseReason {
        /// A value is missing.
        Required => "FieldValueRequired",
        /// A value is malformed.
        Invalid => "FieldValueInvalid",
        /// A value occurs twice.
        Duplicate => "FieldValueDuplicate",
        /// A value is not one of a list.
        NotSupported => "FieldValueNotSupported",
        /// A value may not be given here.
        Forbidden => "FieldValueForbidden",
        /// A value names what does not exist.
        NotFound => "FieldValueNotFound",
        /// A value is too long.
        TooLong => "FieldValueTooLong",
        /// A list has too many items.
        TooMany => "FieldValueTooMany",
        /// A value is of the wrong type.
        TypeInvalid => "FieldValueTypeInvalid",
        /// The asked resource version is newer than the store.
        ResourceVersionTooLarge => "ResourceVersionTooLarge",
        /// A fault of the server, in its words.
        Unexpected => "UnexpectedServerResponse",
    }
}

impl Failure {
    /// Creates a failure from its parts.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            reason,
            message: message.into(),
            details: Details::default(),
        }))
    }

    /// Replaces the details.
    #[must_use]
    pub fn with_details(mut self, details: Details) -> Self {
        self.0.details = details;
        self
    }

    /// Says when it makes sense to ask again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.0.details.retry_after_seconds = Some(seconds);
        self
    }

    /// Returns why the request was refused.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// Returns the sentence for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns what a client may act on.
    #[must_use]
    pub fn details(&self) -> &Details {
        &self.0.details
    }

    /// Refuses a request that cannot be understood.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Reason::BadRequest, message)
    }

    /// Reports a fault of the server.
    #[must_use]
    pub fn internal(message: impl fmt::Display) -> Self {
        let message = message.to_string();
        Self::new(
            Reason::InternalError,
            format!("Internal error occurred: {message}"),
        )
        .with_details(Details {
            causes: vec![Cause::new(CauseReason::Unexpected, "", message)],
            ..Details::default()
        })
    }

    /// Refuses a patch or body of a media type that is not understood.
    #[must_use]
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let accepted = accepted.join(", ");
        Self::new(
            Reason::UnsupportedMediaType,
            format!(
                "the body of the request was in an unknown format - \
                 accepted media types include: {accepted}"
            ),
        )
    }

    /// Refuses a request that accepts none of the media types that exist.
    #[must_use]
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        let accepted = accepted.join(", ");
        Self::new(
            Reason::NotAcceptable,
            format!("only the following media types are accepted: {accepted}"),
        )
    }

    /// Refuses a request that is too large.
    #[must_use]
    pub fn too_large(limit_bytes: usize) -> Self {
        Self::too_large_because(format!("limit is {limit_bytes}"))
    }

    /// Refuses a request that breaks another limit of size.
    #[must_use]
    pub fn too_large_because(why: impl fmt::Display) -> Self {
        Self::new(
            Reason::RequestEntityTooLarge,
            format!("Request entity too large: {why}"),
        )
    }

    /// Refuses a request of nobody known.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(Reason::Unauthorized, "Unauthorized")
    }

    /// Refuses what the caller may not do.
    #[must_use]
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Reason::Forbidden, message)
    }

    /// Refuses query parameters or delete options.
    #[must_use]
    pub fn invalid_options(type_name: &str, causes: Vec<Cause>) -> Self {
        let kind = QualifiedKind {
            group: "meta.k8s.io",
            kind: type_name,
        };
        Self::invalid(kind, "", causes)
    }

    /// Refuses an object, or options, that break rules.
    #[must_use]
    pub(crate) fn invalid(kind: QualifiedKind<'_>, name: &str, causes: Vec<Cause>) -> Self {
        let QualifiedKind { group, kind } = kind;
        let name = shown(&name);
        let dot = if group.is_empty() { "" } else { "." };
        let list = listed(&causes);
        Self::new(
            Reason::Invalid,
            format!("{kind}{dot}{group} \"{name}\" is invalid: {list}"),
        )
        .with_details(Details {
            name,
            group: group.into(),
            kind: kind.into(),
            causes,
            ..Details::default()
        })
    }

    /// Says that the server is busy.
    #[must_use]
    pub fn too_many_requests(retry_after_seconds: u32) -> Self {
        Self::new(
            Reason::TooManyRequests,
            "too many requests, please try again later",
        )
        .retry_after(retry_after_seconds)
    }

    /// Says that the store cannot be reached.
    #[must_use]
    pub fn unavailable(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::new(Reason::ServiceUnavailable, message).retry_after(retry_after_seconds)
    }

    /// Says that the answer did not come in time.
    #[must_use]
    pub fn timeout(message: impl fmt::Display) -> Self {
        Self::new(Reason::Timeout, format!("Timeout: {message}"))
    }
}

/// A kind and its group, as `Invalid` messages name them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QualifiedKind<'a> {
    pub(crate) group: &'a str,
    pub(crate) kind: &'a str,
}

fn listed(causes: &[Cause]) -> String {
    let lines: Vec<String> = causes.iter().map(ToString::to_string).collect();
    match lines.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

impl Cause {
    /// Creates a cause.
    #[must_use]
    pub fn new(reason: CauseReason, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            field: shown(&field.into()),
        }
    }

    /// Says that a value is missing, and why it is needed where that is not plain.
    #[must_use]
    pub fn required(field: impl Into<String>, why: &str) -> Self {
        Self::new(
            CauseReason::Required,
            field,
            with_why("Required value", why),
        )
    }

    /// Says that a value, printed as in code, is malformed.
    #[must_use]
    pub fn invalid(field: impl Into<String>, value: impl fmt::Display, why: &str) -> Self {
        let what = format!("Invalid value: {}", shown(&value));
        Self::new(CauseReason::Invalid, field, with_why(&what, why))
    }

    /// Says that a value may not be given here.
    #[must_use]
    pub fn forbidden(field: impl Into<String>, why: &str) -> Self {
        Self::new(CauseReason::Forbidden, field, with_why("Forbidden", why))
    }

    /// Says that a value, printed as in code, is not one of a list.
    #[must_use]
    pub fn not_supported(
        field: impl Into<String>,
        value: impl fmt::Display,
        supported: &[String],
    ) -> Self {
        let (value, supported) = (shown(&value), supported.join(", "));
        Self::new(
            CauseReason::NotSupported,
            field,
            format!("Unsupported value: {value}: supported values: {supported}"),
        )
    }
}

/// Longest value, name or path that a message repeats, in characters.
const SHOWN_CHARS_MAX: usize = 256;

/// Writes a value into a message, cut where it is long.
pub(crate) fn shown(value: &impl fmt::Display) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

fn with_why(what: &str, why: &str) -> String {
    if why.is_empty() {
        what.into()
    } else {
        format!("{what}: {why}")
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.field, self.message)
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self} {:?}", self.0.reason, self.0.details)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_lists_its_causes() {
        let kind = QualifiedKind {
            group: "playlist.grafana.app",
            kind: "Playlist",
        };
        let title = Cause::required("spec.title", "");
        let one = Failure::invalid(kind, "x", vec![title.clone()]);
        assert_eq!(
            one.message(),
            "Playlist.playlist.grafana.app \"x\" is invalid: spec.title: Required value"
        );
        let name = Cause::invalid("metadata.name", "\"A\"", "no");
        let two = Failure::invalid(kind, "x", vec![title, name]);
        assert_eq!(
            two.message(),
            "Playlist.playlist.grafana.app \"x\" is invalid: \
             [spec.title: Required value, metadata.name: Invalid value: \"A\": no]"
        );
        let options = Failure::invalid_options(
            "ListOptions",
            vec![Cause::forbidden("sendInitialEvents", "no")],
        );
        assert_eq!(
            options.message(),
            "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: no"
        );
    }
}
