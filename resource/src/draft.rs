use std::sync::Arc;

use bytes::Bytes;
use storage_core::Timestamp;

use crate::causes::Causes;
use crate::failure::shown;
use crate::json::{Map, Parsed};
use crate::kind::{Kind, KindScope};
use crate::limits::OBJECT_BYTES_MAX;
use crate::metadata::{self, text_of};
use crate::object::encode;
use crate::options::FieldValidation;
use crate::{Cause, Collection, Failure, Json, Result, json};

/// An object on its way into the store: decoded, pruned, its defaults filled in.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) kind: Arc<Kind>,
    /// Always an object.
    pub(crate) root: Json,
}

/// A draft, and what the client should know about its body.
pub(crate) struct Decoded {
    pub(crate) draft: Draft,
    pub(crate) warnings: Vec<String>,
}

const EMPTY: &Map = &Map::new();

/// How much of a body an error repeats, in characters.
const BODY_SHOWN_CHARS: usize = 200;

impl Draft {
    /// Decodes the body of a create or update.
    pub(crate) fn decode(
        kind: &Arc<Kind>,
        body: &[u8],
        validation: FieldValidation,
    ) -> Result<Decoded> {
        let parsed = json::parse(body).map_err(Failure::bad_request)?;
        check_type(kind, &parsed.root, body)?;
        Self::from_json(kind, parsed, validation).map_err(|failure| in_words_of(kind, failure))
    }

    /// Decodes an object that was read; `duplicates` are those of what it was read from.
    pub(crate) fn from_json(
        kind: &Arc<Kind>,
        parsed: Parsed,
        validation: FieldValidation,
    ) -> Result<Decoded> {
        let Json::Object(mut root) = parsed.root else {
            return Err(Failure::bad_request("an object must be a JSON object"));
        };
        let mut unknown = decode_metadata(&mut root)?;
        unknown.extend(prune(kind, &mut root));
        let mut problems = named("unknown", &unknown);
        problems.extend(named("duplicate", &parsed.duplicates));
        let warnings = judge(problems, validation)?;
        let mut root = Json::Object(root);
        kind.schema().fill_defaults(&mut root);
        let kind = Arc::clone(kind);
        Ok(Decoded {
            draft: Self { kind, root },
            warnings,
        })
    }

    pub(crate) fn fields(&self) -> &Map {
        self.root.as_object().unwrap_or(EMPTY)
    }

    pub(crate) fn metadata(&self) -> &Map {
        let metadata = self.root.get("metadata").and_then(Json::as_object);
        metadata.unwrap_or(EMPTY)
    }

    pub(crate) fn fields_mut(&mut self) -> &mut Map {
        self.root.object_mut()
    }

    pub(crate) fn metadata_mut(&mut self) -> &mut Map {
        self.fields_mut()
            .entry("metadata".into())
            .or_default()
            .object_mut()
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        text_of(self.metadata(), field)
    }

    pub(crate) fn name(&self) -> &str {
        self.text("name")
    }

    /// Puts the object where the request says, or refuses one that says otherwise.
    pub(crate) fn place(&mut self, collection: &Collection) -> Result<()> {
        let given = self.text("namespace");
        if self.kind.scope() == KindScope::Cluster {
            if given.is_empty() {
                return Ok(());
            }
            let cause = Cause::forbidden("metadata.namespace", "not allowed on this type");
            return Err(self.kind.invalid(self.name(), vec![cause]));
        }
        let Some(asked) = collection.namespace() else {
            return Err(Failure::bad_request(
                "an object can be written in one namespace only, not in all of them",
            ));
        };
        if !given.is_empty() && given != asked {
            return Err(Failure::bad_request(
                "the namespace of the provided object does not match \
                 the namespace sent on the request",
            ));
        }
        let asked = asked.into();
        self.metadata_mut().insert("namespace".into(), asked);
        Ok(())
    }

    /// Checks everything that is checked of a whole object.
    pub(crate) fn validate(&self) -> Result<()> {
        let mut causes = Causes::default();
        metadata::check(self.metadata(), self.kind.name_rule(), &mut causes);
        self.kind.schema().validate(&self.root, &mut causes);
        if causes.is_empty() {
            Ok(())
        } else {
            Err(self.kind.invalid(self.name(), causes.into_vec()))
        }
    }

    /// Encodes the object for the store.
    pub(crate) fn encode(&self) -> Result<Bytes> {
        let bytes = encode(&self.kind, self.fields());
        if bytes.len() > OBJECT_BYTES_MAX {
            return Err(Failure::too_large(OBJECT_BYTES_MAX));
        }
        Ok(bytes)
    }

    /// Drops owners that are named twice; tells whether there were any.
    pub(crate) fn drop_repeated_owners(&mut self) -> Option<String> {
        let owners = self.metadata_mut().get_mut("ownerReferences")?;
        let Json::Array(owners) = owners else {
            return None;
        };
        let before = owners.len();
        let mut seen = std::collections::BTreeSet::new();
        owners.retain(|owner| seen.insert(owner.to_string()));
        (owners.len() < before).then(|| {
            "metadata.ownerReferences had duplicate entries; each owner is kept once".into()
        })
    }
}

/// Formats a time as objects write it.
pub(crate) fn wire_time(time: Timestamp) -> String {
    let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn check_type(kind: &Kind, root: &Json, body: &[u8]) -> Result<()> {
    let text = |field: &str| root.get(field).and_then(Json::as_str).unwrap_or_default();
    for (field, spelling) in [("kind", "Kind"), ("apiVersion", "apiVersion")] {
        if text(field).is_empty() {
            let body: String = String::from_utf8_lossy(body)
                .chars()
                .take(BODY_SHOWN_CHARS)
                .collect();
            return Err(Failure::bad_request(format!(
                "Object '{spelling}' is missing in '{body}'"
            )));
        }
    }
    let (found, wanted) = (text("apiVersion"), kind.api_version());
    if found != wanted {
        return Err(Failure::bad_request(format!(
            "the API version in the data ({found}) does not match \
             the expected API version ({wanted})"
        )));
    }
    if text("kind") != kind.kind() {
        let why = format!("must be {}", kind.kind());
        let found = format!("{:?}", text("kind"));
        let name = root.get("metadata").and_then(|m| m.get("name"));
        let name = name.and_then(Json::as_str).unwrap_or_default();
        return Err(kind.invalid(name, vec![Cause::invalid("kind", found, &why)]));
    }
    Ok(())
}

fn decode_metadata(root: &mut Map) -> Result<Vec<String>> {
    match root.get_mut("metadata") {
        None => Ok(Vec::new()),
        Some(Json::Object(metadata)) => metadata::decode(metadata),
        Some(Json::Null) => {
            root.remove("metadata");
            Ok(Vec::new())
        }
        Some(other) => Err(Failure::bad_request(format!(
            "metadata must be of type object, not {}",
            other.type_name()
        ))),
    }
}

/// Prunes everything but type and metadata, which no schema changes.
fn prune(kind: &Kind, root: &mut Map) -> Vec<String> {
    let fixed: Vec<(&str, Json)> = ["apiVersion", "kind", "metadata"]
        .into_iter()
        .filter_map(|field| Some((field, root.remove(field)?)))
        .collect();
    let mut rest = Json::Object(std::mem::take(root));
    let unknown = kind.schema().prune(&mut rest, "");
    if let Json::Object(rest) = rest {
        *root = rest;
    }
    root.extend(
        fixed
            .into_iter()
            .map(|(field, value)| (field.into(), value)),
    );
    unknown
}

fn named(what: &str, paths: &[String]) -> Vec<String> {
    let line = |path: &String| format!("{what} field {:?}", shown(path));
    paths.iter().map(line).collect()
}

fn judge(problems: Vec<String>, validation: FieldValidation) -> Result<Vec<String>> {
    match validation {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Warn => Ok(problems),
        FieldValidation::Strict if problems.is_empty() => Ok(problems),
        FieldValidation::Strict => Err(Failure::bad_request(format!(
            "strict decoding error: {}",
            problems.join(", ")
        ))),
    }
}

/// Says of which kind the body is that could not be decoded.
fn in_words_of(kind: &Kind, failure: Failure) -> Failure {
    if failure.reason() != crate::Reason::BadRequest {
        return failure;
    }
    let (version, kind) = (kind.version(), kind.kind());
    let why = failure.message();
    Failure::bad_request(format!(
        "{kind} in version {version:?} cannot be handled as a {kind}: {why}"
    ))
}
