use std::fmt;

use crate::User;
use crate::user::AUTHENTICATED;

/// What a request wants to do, as parsed once for routing too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attributes<'a> {
    /// A verb on objects.
    Resource {
        /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
        verb: &'a str,
        /// Empty for the core group.
        group: &'a str,
        /// The version.
        version: &'a str,
        /// The plural word.
        resource: &'a str,
        /// Empty for none.
        subresource: &'a str,
        /// Empty for all, and for objects outside of namespaces.
        namespace: &'a str,
        /// Empty for a collection.
        name: &'a str,
    },
    /// A verb on a path that is not of objects.
    Path {
        /// The HTTP method in lower case.
        verb: &'a str,
        /// The path.
        path: &'a str,
    },
}

/// The answer of an [`Authorizer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The request goes on.
    Allow,
    /// The request gets 403 with this reason added, if there is one.
    Deny(Option<String>),
}

/// Decides who may do what.
///
/// # Behaviour
/// * Asked once per request, before anything is read or written, and never blocks.
/// * What is not allowed is denied: there is no third answer.
pub trait Authorizer: fmt::Debug + Send + Sync + 'static {
    /// Decides on one request.
    fn authorize(&self, user: &User, attributes: &Attributes<'_>) -> Decision;
}

/// Allows everything to everyone who is authenticated.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAuthenticated;

impl Authorizer for AllowAuthenticated {
    fn authorize(&self, user: &User, _attributes: &Attributes<'_>) -> Decision {
        if user.is_in(AUTHENTICATED) {
            Decision::Allow
        } else {
            Decision::Deny(None)
        }
    }
}

impl Attributes<'_> {
    /// Says what was forbidden, in the words of the API.
    pub(crate) fn refusal(&self, user: &User, reason: Option<&str>) -> String {
        let name = &user.name;
        let mut text = match *self {
            Self::Path { verb, path } => format!("User {name:?} cannot {verb} path {path:?}"),
            Self::Resource {
                verb,
                group,
                resource,
                subresource,
                namespace,
                ..
            } => {
                let mut resource = resource.to_owned();
                if !subresource.is_empty() {
                    resource = format!("{resource}/{subresource}");
                }
                let place = if namespace.is_empty() {
                    "at the cluster scope".to_owned()
                } else {
                    format!("in the namespace {namespace:?}")
                };
                format!(
                    "User {name:?} cannot {verb} resource {resource:?} in API group {group:?} {place}"
                )
            }
        };
        if let Some(reason) = reason {
            text.push_str(": ");
            text.push_str(reason);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_read_like_those_of_the_api() {
        let attributes = Attributes::Resource {
            verb: "get",
            group: "playlist.grafana.app",
            version: "v0alpha1",
            resource: "playlists",
            subresource: "",
            namespace: "default",
            name: "x",
        };
        assert_eq!(
            attributes.refusal(&User::new("bob"), None),
            "User \"bob\" cannot get resource \"playlists\" in API group \"playlist.grafana.app\" \
             in the namespace \"default\""
        );
        let path = Attributes::Path {
            verb: "get",
            path: "/x",
        };
        assert_eq!(
            path.refusal(&User::new("bob"), None),
            "User \"bob\" cannot get path \"/x\""
        );
    }

    #[test]
    fn only_the_authenticated_are_allowed() {
        let path = Attributes::Path {
            verb: "get",
            path: "/x",
        };
        let known = User::new("a").group(AUTHENTICATED);
        assert_eq!(AllowAuthenticated.authorize(&known, &path), Decision::Allow);
        assert_eq!(
            AllowAuthenticated.authorize(&User::anonymous(), &path),
            Decision::Deny(None)
        );
    }
}
