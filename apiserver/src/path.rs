use percent_encoding::percent_decode_str;

use crate::query::check_escapes;
use crate::status::Status;

/// What a URL's path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/`: the list of paths.
    Root,
    /// `/version`.
    Version,
    /// `/livez`, `/readyz`, `/healthz`, and one check below each.
    Health(Probe, Option<String>),
    /// `/metrics`.
    Metrics,
    /// `/api`.
    Core,
    /// `/apis`.
    Groups,
    /// `/apis/GROUP`.
    Group(String),
    /// `/api/v1` and `/apis/GROUP/VERSION`.
    GroupVersion {
        /// Empty for the core group.
        group: String,
        /// The version.
        version: String,
    },
    /// `/openapi/v2`.
    OpenApiV2,
    /// `/openapi/v3`.
    OpenApiV3,
    /// `/openapi/v3/apis/GROUP/VERSION`.
    OpenApiV3Document {
        /// Empty for the core group.
        group: String,
        /// The version.
        version: String,
    },
    /// Objects.
    Resource(ResourcePath),
    /// Nothing that is served here.
    Unknown,
}

/// A health endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Is the process alive?
    Live,
    /// May it get traffic?
    Ready,
    /// The old name of the first.
    Health,
}

impl Probe {
    /// Returns the first segment of its path.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Live => "livez",
            Self::Ready => "readyz",
            Self::Health => "healthz",
        }
    }
}

/// The path of objects: a collection, one object, or a subresource of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResourcePath {
    /// Empty for the core group.
    pub(crate) group: String,
    pub(crate) version: String,
    /// The plural word.
    pub(crate) resource: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
    /// The old form of a watch, `/apis/GROUP/VERSION/watch/...`.
    pub(crate) watch_prefix: bool,
}

impl Route {
    /// Parses a raw path. Each segment is decoded once and must not change the shape of the path.
    pub(crate) fn parse(raw: &str) -> Result<Self, Status> {
        let segments = segments(raw)?;
        let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
        Ok(match *parts.as_slice() {
            [] => Self::Root,
            ["version"] => Self::Version,
            ["livez", ref check @ ..] => health(Probe::Live, check),
            ["readyz", ref check @ ..] => health(Probe::Ready, check),
            ["healthz", ref check @ ..] => health(Probe::Health, check),
            ["metrics"] => Self::Metrics,
            ["openapi", "v2"] => Self::OpenApiV2,
            ["openapi", "v3"] => Self::OpenApiV3,
            ["openapi", "v3", "api", version] => Self::OpenApiV3Document {
                group: String::new(),
                version: version.into(),
            },
            ["openapi", "v3", "apis", group, version] => Self::OpenApiV3Document {
                group: group.into(),
                version: version.into(),
            },
            ["api"] => Self::Core,
            ["apis"] => Self::Groups,
            ["apis", group] => Self::Group(group.into()),
            ["api", version] => Self::GroupVersion {
                group: String::new(),
                version: version.into(),
            },
            ["apis", group, version] => Self::GroupVersion {
                group: group.into(),
                version: version.into(),
            },
            ["api", version, ref rest @ ..] => resource("", version, rest),
            ["apis", group, version, ref rest @ ..] => resource(group, version, rest),
            _ => Self::Unknown,
        })
    }
}

fn health(probe: Probe, check: &[&str]) -> Route {
    match *check {
        [] => Route::Health(probe, None),
        [check] => Route::Health(probe, Some(check.into())),
        _ => Route::Unknown,
    }
}

fn resource(group: &str, version: &str, rest: &[&str]) -> Route {
    let (watch_prefix, rest) = match *rest {
        ["watch", ref rest @ ..] => (true, rest),
        ref rest => (false, rest),
    };
    let (namespace, rest) = match *rest {
        // `namespaces/NAME` is an object, and so are its own subresources.
        ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => (None, rest),
        ["namespaces", namespace, ref rest @ ..] => (Some(namespace.to_owned()), rest),
        ref rest => (None, rest),
    };
    let (resource, name, subresource) = match *rest {
        [resource] => (resource, None, None),
        [resource, name] => (resource, Some(name), None),
        [resource, name, subresource] => (resource, Some(name), Some(subresource)),
        _ => return Route::Unknown,
    };
    Route::Resource(ResourcePath {
        group: group.into(),
        version: version.into(),
        resource: resource.into(),
        namespace,
        name: name.map(str::to_owned),
        subresource: subresource.map(str::to_owned),
        watch_prefix,
    })
}

/// Splits a path and decodes its segments. One slash at the end is forgiven; an empty segment, a
/// dot segment, and what decodes to a slash or a control character are not: the same text would
/// mean another path to a proxy, to a log or to a person.
fn segments(raw: &str) -> Result<Vec<String>, Status> {
    check_escapes(raw)?;
    let path = raw.strip_prefix('/').unwrap_or(raw);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(Vec::new());
    }
    path.split('/').map(segment).collect()
}

fn segment(raw: &str) -> Result<String, Status> {
    let Ok(decoded) = percent_decode_str(raw).decode_utf8() else {
        return Err(Status::bad_request("the path must be UTF-8"));
    };
    if decoded.is_empty() || decoded == "." || decoded == ".." {
        return Err(Status::bad_request(
            "the path must not have empty or dot segments",
        ));
    }
    if decoded.chars().any(|c| c == '/' || c.is_control()) {
        return Err(Status::bad_request(
            "the path must not have an escaped slash or control character",
        ));
    }
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(raw: &str) -> ResourcePath {
        match Route::parse(raw).unwrap() {
            Route::Resource(path) => path,
            other => panic!("{raw} is {other:?}"),
        }
    }

    #[test]
    fn objects_are_found() {
        let path = object("/apis/g.io/v1/namespaces/ns/things/a%20b/status");
        assert_eq!((path.group.as_str(), path.version.as_str()), ("g.io", "v1"));
        assert_eq!(path.namespace.as_deref(), Some("ns"));
        assert_eq!(path.name.as_deref(), Some("a b"));
        assert_eq!(path.subresource.as_deref(), Some("status"));
        let path = object("/api/v1/namespaces/ns");
        assert_eq!(path.resource, "namespaces");
        assert_eq!(path.name.as_deref(), Some("ns"));
        assert_eq!(path.namespace, None);
        let path = object("/apis/g/v1/watch/namespaces/ns/things/");
        assert!(path.watch_prefix);
        assert_eq!((path.resource.as_str(), path.name), ("things", None));
        assert_eq!(object("/apis/g/v1/things").namespace, None);
    }

    #[test]
    fn one_trailing_slash_is_forgiven() {
        assert_eq!(Route::parse("/version/").unwrap(), Route::Version);
        assert_eq!(Route::parse("/apis/").unwrap(), Route::Groups);
        assert_eq!(Route::parse("/").unwrap(), Route::Root);
        assert!(Route::parse("/version//").is_err());
    }

    #[test]
    fn paths_that_could_mean_another_are_refused() {
        for raw in [
            "/apis/g/v1//things",
            "/apis/g/v1/things/..",
            "/apis/g/v1/things/%2e%2e",
            "/apis/g/v1/things/a%2fb",
            "/apis/g/v1/things/a%2Fb",
            "/apis/g/v1/things/a%00",
            "/apis/g/v1/things/a%0a",
            "/apis/g/v1/things/%ff",
            "/apis/g/v1/things/%",
            "/apis/g/v1/./things",
        ] {
            assert_eq!(Route::parse(raw).unwrap_err().code(), 400, "{raw}");
        }
    }

    #[test]
    fn other_paths_are_unknown() {
        for raw in [
            "/x",
            "/version/x",
            "/livez/a/b",
            "/apis/g/v1/t/a/b/c",
            "/openapi/v4",
        ] {
            assert_eq!(Route::parse(raw).unwrap(), Route::Unknown, "{raw}");
        }
    }
}
