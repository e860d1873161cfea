use crate::limits::ACCEPT_CLAUSES_MAX;
use crate::status::Status;

/// What the server can answer, for the text of a 406.
pub(crate) const ACCEPTED: [&str; 1] = ["application/json"];

/// How an answer that shows objects looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Representation {
    /// The objects.
    Json,
    /// A table of cells for people.
    Table(MetaVersion),
    /// The metadata of the objects.
    Partial,
}

/// A version of `meta.k8s.io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetaVersion {
    V1,
    V1Beta1,
}

impl MetaVersion {
    pub(crate) const fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// Which shape a request is about: a list has kinds of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    One,
    Many,
}

/// One media type of an `Accept` header, with its parameters in lower case names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MediaType {
    pub(crate) essence: String,
    pub(crate) parameters: Vec<(String, String)>,
    quality: f32,
}

impl MediaType {
    /// Returns a parameter, empty when it is not there.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.parameters
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    /// Tells whether JSON satisfies it.
    pub(crate) fn takes_json(&self) -> bool {
        matches!(
            self.essence.as_str(),
            "application/json" | "application/*" | "*/*"
        )
    }
}

/// Chooses how to show objects; no header means JSON.
pub(crate) fn representation(accept: &str, shape: Shape) -> Result<Representation, Status> {
    let clauses = parse(accept);
    if clauses.is_empty() {
        return Ok(Representation::Json);
    }
    clauses
        .iter()
        .filter(|clause| clause.takes_json())
        .find_map(|clause| of_clause(clause, shape))
        .ok_or_else(|| Status::not_acceptable(&ACCEPTED))
}

/// Checks that plain JSON is wanted, for answers that have no other form.
pub(crate) fn require_json(accept: &str) -> Result<(), Status> {
    let clauses = parse(accept);
    let fits = |clause: &MediaType| clause.takes_json() && clause.parameter("as").is_empty();
    if clauses.is_empty() || clauses.iter().any(fits) {
        return Ok(());
    }
    Err(Status::not_acceptable(&ACCEPTED))
}

fn of_clause(clause: &MediaType, shape: Shape) -> Option<Representation> {
    let kind = clause.parameter("as");
    if kind.is_empty() {
        return Some(Representation::Json);
    }
    let version = match (clause.parameter("g"), clause.parameter("v")) {
        ("meta.k8s.io", "v1") => MetaVersion::V1,
        ("meta.k8s.io", "v1beta1") => MetaVersion::V1Beta1,
        _ => return None,
    };
    match (kind, shape) {
        ("Table", _) => Some(Representation::Table(version)),
        ("PartialObjectMetadata", Shape::One) | ("PartialObjectMetadataList", Shape::Many) => {
            (version == MetaVersion::V1).then_some(Representation::Partial)
        }
        _ => None,
    }
}

/// Parses an `Accept` header into its media types, the most wanted first.
pub(crate) fn parse(accept: &str) -> Vec<MediaType> {
    let mut clauses: Vec<MediaType> = split_quoted(accept, ',')
        .take(ACCEPT_CLAUSES_MAX)
        .filter_map(media_type)
        .filter(|clause| clause.quality > 0.0)
        .collect();
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    clauses
}

fn media_type(text: &str) -> Option<MediaType> {
    let mut parts = split_quoted(text, ';');
    let essence = parts.next()?.trim().to_ascii_lowercase();
    if essence.is_empty() {
        return None;
    }
    let parameters: Vec<(String, String)> = parts
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| {
            let value = value.trim().trim_matches('"');
            (name.trim().to_ascii_lowercase(), value.to_owned())
        })
        .collect();
    let quality = parameters
        .iter()
        .find(|(name, _)| name == "q")
        .map_or(1.0, |(_, value)| value.parse().unwrap_or(0.0));
    Some(MediaType {
        essence,
        parameters,
        quality,
    })
}

/// Splits at a separator that does not stand between quotes.
fn split_quoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KUBECTL: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,\
        application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";

    #[test]
    fn clients_get_what_they_ask_for() {
        use Representation::{Json, Partial, Table};
        let one = |accept| representation(accept, Shape::One).unwrap();
        assert_eq!(one(KUBECTL), Table(MetaVersion::V1));
        assert_eq!(one(""), Json);
        assert_eq!(one("application/json, */*"), Json);
        assert_eq!(
            one("application/vnd.kubernetes.protobuf,application/json"),
            Json
        );
        assert_eq!(one("text/html,*/*;q=0.1"), Json);
        assert_eq!(
            one("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"),
            Partial
        );
        assert_eq!(
            one("application/json;q=0.5, application/json;as=Table;g=meta.k8s.io;v=v1beta1"),
            Table(MetaVersion::V1Beta1)
        );
        assert_eq!(
            one("application/json;as=\"Table\";g=\"meta.k8s.io\";v=\"v1\""),
            Table(MetaVersion::V1)
        );
    }

    #[test]
    fn what_cannot_be_answered_is_refused() {
        for accept in [
            "text/html",
            "application/vnd.kubernetes.protobuf",
            "application/json;as=Nothing;g=meta.k8s.io;v=v1",
            "application/json;as=Table;g=meta.k8s.io;v=v7",
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            "application/json;q=0",
        ] {
            let refused = representation(accept, Shape::One);
            if accept.ends_with("q=0") {
                assert_eq!(refused.unwrap(), Representation::Json);
            } else {
                assert_eq!(refused.unwrap_err().code(), 406, "{accept}");
            }
        }
    }
}
