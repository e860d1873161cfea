use bytes::Bytes;
use hyper::Method;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, USER_AGENT};
use resource::Objects;

use crate::accept::{self, Representation, Shape};
use crate::api::Api;
use crate::body;
use crate::limits::OPTIONS_BYTES_MAX;
use crate::path::ResourcePath;
use crate::query::Query;
use crate::status::Status;
use resource::limits::FIELD_MANAGER_BYTES_MAX;

/// Media types of a body that is an object.
const OBJECT_TYPES: [&str; 1] = ["application/json"];

/// A request to objects, parsed once.
pub(crate) struct Call<'a> {
    pub(crate) api: &'a Api,
    /// Where the objects of the path's group are.
    pub(crate) objects: &'a Objects,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) query: &'a Query,
    pub(crate) path: &'a ResourcePath,
    pub(crate) verb: Verb,
}

/// What is done with objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    /// Tells what a method means on a path; none for methods that mean nothing.
    pub(crate) fn of(method: &Method, path: &ResourcePath, query: &Query) -> Option<Self> {
        let watched = path.watch_prefix || query.switch("watch") == Some(true);
        let on_object = path.name.is_some();
        match *method {
            Method::GET | Method::HEAD if watched && path.subresource.is_none() => {
                Some(Self::Watch)
            }
            Method::GET | Method::HEAD if on_object => Some(Self::Get),
            Method::GET | Method::HEAD => Some(Self::List),
            Method::POST => Some(Self::Create),
            Method::PUT => Some(Self::Update),
            Method::PATCH => Some(Self::Patch),
            Method::DELETE if on_object => Some(Self::Delete),
            Method::DELETE => Some(Self::DeleteCollection),
            _ => None,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    pub(crate) const fn is_write(self) -> bool {
        match self {
            Self::Get | Self::List | Self::Watch => false,
            Self::Create | Self::Update | Self::Patch | Self::Delete | Self::DeleteCollection => {
                true
            }
        }
    }
}

impl Call<'_> {
    /// Chooses how the answer shows objects.
    pub(crate) fn representation(&self, shape: Shape) -> Result<Representation, Status> {
        accept::representation(header(self.headers, ACCEPT), shape)
    }

    /// Returns the media type of the body, without parameters, in lower case.
    pub(crate) fn content_type(&self) -> String {
        let value = header(self.headers, CONTENT_TYPE);
        let essence = value.split(';').next().unwrap_or_default();
        essence.trim().to_ascii_lowercase()
    }

    /// Reads a body that holds an object. Without a media type it is taken for JSON.
    pub(crate) async fn object_body(&self, incoming: Incoming) -> Result<Bytes, Status> {
        self.require_json_body()?;
        self.body(incoming).await
    }

    /// Reads a body that holds options, which are small.
    pub(crate) async fn options_body(&self, incoming: Incoming) -> Result<Bytes, Status> {
        self.require_json_body()?;
        body::read(incoming, OPTIONS_BYTES_MAX, self.api.timeouts.body).await
    }

    /// Reads a body.
    pub(crate) async fn body(&self, incoming: Incoming) -> Result<Bytes, Status> {
        let limit_bytes = self.api.limits.body_bytes;
        body::read(incoming, limit_bytes, self.api.timeouts.body).await
    }

    fn require_json_body(&self) -> Result<(), Status> {
        match self.content_type().as_str() {
            "" | "application/json" => Ok(()),
            _ => Err(Status::unsupported_media_type(&OBJECT_TYPES)),
        }
    }

    /// Returns who manages the fields that are written: what the client says, or its program.
    pub(crate) fn field_manager(&self) -> String {
        match self.query.text("fieldManager") {
            Some(manager) => manager.to_owned(),
            None => {
                let agent = header(self.headers, USER_AGENT);
                let program = agent.split('/').next().unwrap_or_default();
                // Nobody chose it to be a manager's name, so it is made to be one. It is ASCII.
                let printable = program.chars().filter(|c| !c.is_control());
                printable.take(FIELD_MANAGER_BYTES_MAX).collect()
            }
        }
    }
}

/// Returns a header's text, empty when it is absent or not ASCII.
pub(crate) fn header(headers: &HeaderMap, name: impl hyper::header::AsHeaderName) -> &str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}
