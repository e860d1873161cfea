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
}

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
    ("ownerReferences", FieldType::ObjectList),
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
        match FIELDS[at].1.decode(value, &path) {
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
    fn decode(self, value: &mut Json, path: &str) -> Result<()> {
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
            _ => Err(wrong(path, self.name(), value)),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Integer => "integer",
            Self::TextMap => "object",
            Self::TextList | Self::ObjectList => "array",
        }
    }
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
                r#"{"generation":1.5}"#,
                "metadata.generation must be of type integer, not number",
            ),
        ] {
            assert_eq!(decoded(text).unwrap_err().message(), why);
        }
    }
}
