//! Structural schemas: what a kind says about its objects.

mod defaults;
mod number;
mod prune;
mod validate;

use std::collections::BTreeMap;

use regex::Regex;
use serde::Deserialize;

use crate::Json;

/// A compiled schema of one value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schema {
    kind: Option<SchemaType>,
    nullable: bool,
    properties: BTreeMap<String, Self>,
    additional: Additional,
    items: Option<Box<Self>>,
    preserve_unknown: bool,
    embedded: bool,
    default: Option<Json>,
    list: ListType,
    rules: Rules,
}

/// What must be true of a value besides its shape.
#[derive(Clone, Debug, Default)]
struct Rules {
    required: Vec<String>,
    allowed: Option<Vec<Json>>,
    minimum: Option<Bound>,
    maximum: Option<Bound>,
    multiple_of: Option<f64>,
    length_min: Option<usize>,
    length_max: Option<usize>,
    items_min: Option<usize>,
    items_max: Option<usize>,
    properties_min: Option<usize>,
    properties_max: Option<usize>,
    pattern: Option<Regex>,
    all_of: Vec<Schema>,
    any_of: Vec<Schema>,
    one_of: Vec<Schema>,
    not: Option<Box<Schema>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SchemaType {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
}

/// What may stand beside the named properties.
#[derive(Clone, Debug, Default)]
enum Additional {
    #[default]
    Nothing,
    Anything,
    Each(Box<Schema>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum ListType {
    #[default]
    Atomic,
    Set,
    Map(Vec<String>),
}

#[derive(Clone, Debug)]
struct Bound {
    text: String,
    value: f64,
    exclusive: bool,
}

/// The schema as a manifest writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Source {
    r#type: String,
    nullable: bool,
    properties: BTreeMap<String, serde_json::Value>,
    additional_properties: Option<serde_json::Value>,
    items: Option<serde_json::Value>,
    default: Option<serde_json::Value>,
    required: Vec<String>,
    r#enum: Option<Vec<serde_json::Value>>,
    minimum: Option<serde_json::Number>,
    maximum: Option<serde_json::Number>,
    exclusive_minimum: bool,
    exclusive_maximum: bool,
    multiple_of: Option<f64>,
    min_length: Option<usize>,
    max_length: Option<usize>,
    min_items: Option<usize>,
    max_items: Option<usize>,
    min_properties: Option<usize>,
    max_properties: Option<usize>,
    pattern: Option<String>,
    all_of: Vec<serde_json::Value>,
    any_of: Vec<serde_json::Value>,
    one_of: Vec<serde_json::Value>,
    not: Option<serde_json::Value>,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    preserve_unknown: bool,
    #[serde(rename = "x-kubernetes-embedded-resource")]
    embedded: bool,
    #[serde(rename = "x-kubernetes-int-or-string")]
    int_or_string: bool,
    #[serde(rename = "x-kubernetes-list-type")]
    list_type: String,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    list_map_keys: Vec<String>,
}

impl Schema {
    /// Compiles the schema of a manifest.
    ///
    /// # Errors
    /// The path of what cannot be understood, and why.
    pub(crate) fn compile(source: &serde_json::Value) -> Result<Self, String> {
        compile(source, "openAPIV3Schema")
    }
}

fn compile(value: &serde_json::Value, path: &str) -> Result<Schema, String> {
    let source = Source::deserialize(value).map_err(|error| format!("{path}: {error}"))?;
    let sub = |value: &serde_json::Value, name: &str| compile(value, &format!("{path}.{name}"));
    let subs = |values: &[serde_json::Value], name: &str| {
        let schemas = values.iter().map(|value| sub(value, name));
        schemas.collect::<Result<Vec<_>, _>>()
    };
    let json = |value: &serde_json::Value| Json::from_value(value);
    let mut properties = BTreeMap::new();
    for (name, value) in &source.properties {
        properties.insert(name.clone(), sub(value, name)?);
    }
    let additional = match &source.additional_properties {
        None | Some(serde_json::Value::Bool(false)) => Additional::Nothing,
        Some(serde_json::Value::Bool(true)) => Additional::Anything,
        Some(value) => Additional::Each(Box::new(sub(value, "additionalProperties")?)),
    };
    let boxed = |value: &Option<serde_json::Value>, name: &str| {
        value
            .as_ref()
            .map(|value| sub(value, name).map(Box::new))
            .transpose()
    };
    Ok(Schema {
        kind: schema_type(&source, path)?,
        nullable: source.nullable,
        properties,
        additional,
        items: boxed(&source.items, "items")?,
        preserve_unknown: source.preserve_unknown,
        embedded: source.embedded,
        default: source.default.as_ref().map(json).transpose()?,
        list: list_type(&source, path)?,
        rules: Rules {
            required: source.required.clone(),
            allowed: match &source.r#enum {
                Some(values) => Some(values.iter().map(json).collect::<Result<_, _>>()?),
                None => None,
            },
            minimum: bound(source.minimum.as_ref(), source.exclusive_minimum),
            maximum: bound(source.maximum.as_ref(), source.exclusive_maximum),
            multiple_of: source.multiple_of,
            length_min: source.min_length,
            length_max: source.max_length,
            items_min: source.min_items,
            items_max: source.max_items,
            properties_min: source.min_properties,
            properties_max: source.max_properties,
            pattern: pattern(source.pattern.as_deref(), path)?,
            all_of: subs(&source.all_of, "allOf")?,
            any_of: subs(&source.any_of, "anyOf")?,
            one_of: subs(&source.one_of, "oneOf")?,
            not: boxed(&source.not, "not")?,
        },
    })
}

fn schema_type(source: &Source, path: &str) -> Result<Option<SchemaType>, String> {
    if source.int_or_string {
        return Ok(Some(SchemaType::IntOrString));
    }
    Ok(Some(match source.r#type.as_str() {
        "" => return Ok(None),
        "object" => SchemaType::Object,
        "array" => SchemaType::Array,
        "string" => SchemaType::String,
        "integer" => SchemaType::Integer,
        "number" => SchemaType::Number,
        "boolean" => SchemaType::Boolean,
        other => return Err(format!("{path}.type: {other:?} is not a type")),
    }))
}

fn list_type(source: &Source, path: &str) -> Result<ListType, String> {
    Ok(match source.list_type.as_str() {
        "" | "atomic" => ListType::Atomic,
        "set" => ListType::Set,
        "map" => ListType::Map(source.list_map_keys.clone()),
        other => {
            return Err(format!(
                "{path}.x-kubernetes-list-type: {other:?} is not atomic, set or map"
            ));
        }
    })
}

fn bound(number: Option<&serde_json::Number>, exclusive: bool) -> Option<Bound> {
    let number = number?;
    Some(Bound {
        text: number::short(number),
        value: number.as_f64()?,
        exclusive,
    })
}

fn pattern(pattern: Option<&str>, path: &str) -> Result<Option<Regex>, String> {
    pattern
        .map(|text| Regex::new(text).map_err(|error| format!("{path}.pattern: {error}")))
        .transpose()
}

/// Adds a field to a path.
fn join(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.into()
    } else {
        format!("{path}.{field}")
    }
}
