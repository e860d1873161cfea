//! The rules of `metadata`, which are the same for all kinds.

mod rules;

use crate::json::Map;
use crate::{Failure, Json, Result};

pub(crate) use rules::check;

/// The labels that ask for history and trash; they may not be stored.
pub(crate) const GET_HISTORY: &str = "grafana.app/get-history";
/// See [`GET_HISTORY`].
pub(crate) const GET_TRASH: &str = "grafana.app/get-trash";

#[derive(Clone, Copy)]
enum FieldType {
    Text,
    Integer,
    TextMap,
    TextList,
    ObjectList,
    OwnerList,
}

/// What a reference to an owner has: texts, and switches that may be absent.
const OWNER_TEXTS: [&str; 4] = ["apiVersion", "kind", "name", "uid"];
const OWNER_SWITCHES: [&str; 2] = ["blockOwnerDeletion", "controller"];

const FIELDS: [(&str, FieldType); 15] = [
    ("annotations", FieldType::TextMap),
    ("creationTimestamp", FieldType::Text),
    ("deletionGracePeriodSeconds", FieldType::Integer),
    ("deletionTimestamp", FieldType::Text),
    ("finalizers", FieldType::TextList),
    ("generateName", FieldType::Text),
    ("generation", FieldType::Integer),
    ("labels", FieldType::TextMap),
    ("managedFields", FieldType::ObjectList),
    ("name", FieldType::Text),
    ("namespace", FieldType::Text),
    ("ownerReferences", FieldType::OwnerList),
    ("resourceVersion", FieldType::Text),
    ("selfLink", FieldType::Text),
    ("uid", FieldType::Text),
];

/// Checks the types of the fields, drops what is empty, and removes fields that metadata does not
/// have; their paths are returned.
///
/// # Errors
/// `BadRequest` for a field of the wrong type.
pub(crate) fn decode(metadata: &mut Map) -> Result<Vec<String>> {
    let mut unknown = Vec::new();
    let mut wrong = None;
    metadata.retain(|name, value| {
        let Ok(at) = FIELDS.binary_search_by(|(field, _)| field.cmp(&name.as_str())) else {
            unknown.push(format!("metadata.{name}"));
            return false;
        };
        let path = format!("metadata.{name}");
        match FIELDS[at].1.decode(value, &path, &mut unknown) {
            Ok(()) => !is_empty(value),
            Err(failure) => {
                wrong.get_or_insert(failure);
                false
            }
        }
    });
    wrong.map_or(Ok(unknown), Err)
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(map) => map.is_empty(),
        Json::Bool(_) | Json::Number(_) => false,
    }
}

impl FieldType {
    fn decode(self, value: &mut Json, path: &str, unknown: &mut Vec<String>) -> Result<()> {
        match (self, &mut *value) {
            (_, Json::Null) | (Self::Text, Json::String(_)) => Ok(()),
            (Self::Integer, Json::Number(number)) if number.as_i64().is_some() => Ok(()),
            (Self::TextMap, Json::Object(map)) => map
                .iter_mut()
                .try_for_each(|(key, item)| text(item, || format!("{path}.{key}"))),
            (Self::TextList, Json::Array(items)) => items
                .iter_mut()
                .enumerate()
                .try_for_each(|(index, item)| text(item, || format!("{path}[{index}]"))),
            (Self::ObjectList, Json::Array(items)) => {
                items
                    .iter()
                    .enumerate()
                    .try_for_each(|(index, item)| match item {
                        Json::Object(_) => Ok(()),
                        other => Err(wrong(&format!("{path}[{index}]"), "object", other)),
                    })
            }
            (Self::OwnerList, Json::Array(items)) => items
                .iter_mut()
                .enumerate()
                .try_for_each(|(index, item)| owner(item, &format!("{path}[{index}]"), unknown)),
            _ => Err(wrong(path, self.name(), value)),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Integer => "integer",
            Self::TextMap => "object",
            Self::TextList | Self::ObjectList | Self::OwnerList => "array",
        }
    }
}

/// Checks a reference to an owner and takes out what such a reference does not have. Clients decode lists as
/// a whole, so one of another type would break each list that its object is in.
fn owner(item: &mut Json, path: &str, unknown: &mut Vec<String>) -> Result<()> {
    let Json::Object(owner) = item else {
        return Err(wrong(path, "object", item));
    };
    let mut bad = None;
    owner.retain(|name, value| {
        let path = format!("{path}.{name}");
        let wanted = match (name.as_str(), &*value) {
            (text, Json::String(_) | Json::Null) if OWNER_TEXTS.contains(&text) => return true,
            (switch, Json::Bool(_)) if OWNER_SWITCHES.contains(&switch) => return true,
            (switch, Json::Null) if OWNER_SWITCHES.contains(&switch) => return false,
            (text, _) if OWNER_TEXTS.contains(&text) => "string",
            (switch, _) if OWNER_SWITCHES.contains(&switch) => "boolean",
            _ => {
                unknown.push(path);
                return false;
            }
        };
        bad.get_or_insert_with(|| wrong(&path, wanted, value));
        false
    });
    bad.map_or(Ok(()), Err)
}

/// A `null` in a map or list of strings is the empty string, as clients' decoders have it.
fn text(item: &mut Json, path: impl Fn() -> String) -> Result<()> {
    match item {
        Json::String(_) => Ok(()),
        Json::Null => {
            *item = Json::String(String::new());
            Ok(())
        }
        other => Err(wrong(&path(), "string", other)),
    }
}

fn wrong(path: &str, wanted: &str, found: &Json) -> Failure {
    let found = found.type_name();
    Failure::bad_request(format!("{path} must be of type {wanted}, not {found}"))
}

/// Returns a text field; empty when absent.
pub(crate) fn text_of<'a>(metadata: &'a Map, field: &str) -> &'a str {
    metadata
        .get(field)
        .and_then(Json::as_str)
        .unwrap_or_default()
}

/// Returns the finalizers.
pub(crate) fn finalizers(metadata: &Map) -> Vec<&str> {
    let list = metadata.get("finalizers").and_then(Json::as_array);
    list.unwrap_or_default()
        .iter()
        .filter_map(Json::as_str)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    fn decoded(text: &str) -> Result<(String, Vec<String>)> {
        let mut root = parse(text.as_bytes()).unwrap().root;
        let unknown = decode(root.as_object_mut().unwrap())?;
        Ok((root.to_string(), unknown))
    }

    #[test]
    fn fields_are_in_order() {
        assert!(FIELDS.is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn empty_and_unknown_fields_go() {
        let text = r#"{"name":"a","creationTimestamp":null,"labels":{},"labels2":{},
            "annotations":{"a":null},"uid":"","finalizers":[]}"#;
        let (kept, unknown) = decoded(text).unwrap();
        assert_eq!(kept, r#"{"annotations":{"a":""},"name":"a"}"#);
        assert_eq!(unknown, ["metadata.labels2"]);
    }

    #[test]
    fn a_reference_to_an_owner_has_its_own_fields_only() {
        let text = r#"{"ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":null,
            "controller":true,"extra":[1],"kind":"K","name":"n","uid":"u"}]}"#;
        let (kept, unknown) = decoded(text).unwrap();
        let owner = r#"{"apiVersion":"v1","controller":true,"kind":"K","name":"n","uid":"u"}"#;
        assert_eq!(kept, format!("{{\"ownerReferences\":[{owner}]}}"));
        assert_eq!(unknown, ["metadata.ownerReferences[0].extra"]);
    }

    #[test]
    fn wrong_types_are_refused() {
        for (text, why) in [
            (
                r#"{"name":1}"#,
                "metadata.name must be of type string, not integer",
            ),
            (
                r#"{"labels":{"a":true}}"#,
                "metadata.labels.a must be of type string, not boolean",
            ),
            (
                r#"{"labels":[]}"#,
                "metadata.labels must be of type object, not array",
            ),
            (
                r#"{"finalizers":["a",1]}"#,
                "metadata.finalizers[1] must be of type string, not integer",
            ),
            (
                r#"{"ownerReferences":["a"]}"#,
                "metadata.ownerReferences[0] must be of type object, not string",
            ),
            (
                r#"{"ownerReferences":[{"controller":"yes"}]}"#,
                "metadata.ownerReferences[0].controller must be of type boolean, not string",
            ),
            (
                r#"{"ownerReferences":[{},{"uid":1}]}"#,
                "metadata.ownerReferences[1].uid must be of type string, not integer",
            ),
            (
                r#"{"generation":1.5}"#,
                "metadata.generation must be of type integer, not number",
            ),
        ] {
            assert_eq!(decoded(text).unwrap_err().message(), why);
        }
    }
}
