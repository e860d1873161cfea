use resource::Kind;
use serde_json::{Map, Value, json};

use super::{meta, reference};

/// Returns the schema name of a kind: the words of its group in reverse, version, kind.
pub(super) fn name(kind: &Kind) -> String {
    qualified(kind, kind.kind())
}

/// Returns the schema name of a kind's list.
pub(super) fn list_name(kind: &Kind) -> String {
    qualified(kind, kind.list_kind())
}

fn qualified(kind: &Kind, word: &str) -> String {
    let mut words: Vec<&str> = kind.group().split('.').filter(|w| !w.is_empty()).collect();
    words.reverse();
    words.extend([kind.version(), word]);
    words.join(".")
}

/// Returns the schema of a kind: what its manifest says, and what every object has.
pub(super) fn of_kind(kind: &Kind) -> Value {
    let mut schema = match kind.open_api_schema() {
        Value::Object(fields) => fields.clone(),
        _ => Map::new(),
    };
    schema.entry("type").or_insert_with(|| "object".into());
    let mut properties = match schema.remove("properties") {
        Some(Value::Object(properties)) => properties,
        _ => Map::new(),
    };
    properties.insert("apiVersion".into(), meta::api_version());
    properties.insert("kind".into(), meta::kind());
    properties.insert(
        "metadata".into(),
        json!({"description": "The name of the object and what the server keeps about it.",
            "default": {}, "allOf": [reference(meta::OBJECT_META)]}),
    );
    schema.insert("properties".into(), properties.into());
    schema.insert(meta::GVK.into(), gvk_list(kind, kind.kind()));
    schema.into()
}

/// Returns the schema of a kind's list.
pub(super) fn of_list(kind: &Kind) -> Value {
    json!({
        "type": "object",
        "description": format!("A list of {} objects.", kind.kind()),
        "required": ["items"],
        "properties": {
            "apiVersion": meta::api_version(),
            "kind": meta::kind(),
            "metadata": {"description": "What the server says about the list.", "default": {},
                "allOf": [reference(meta::LIST_META)]},
            "items": {"type": "array", "description": "The objects.",
                "items": reference(&name(kind))},
        },
        meta::GVK: gvk_list(kind, kind.list_kind()),
    })
}

/// Returns the group, version and kind that clients look a schema or an operation up by.
pub(super) fn gvk(kind: &Kind) -> Value {
    json!({"group": kind.group(), "version": kind.version(), "kind": kind.kind()})
}

fn gvk_list(kind: &Kind, word: &str) -> Value {
    json!([{"group": kind.group(), "version": kind.version(), "kind": word}])
}
