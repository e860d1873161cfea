//! Structural schemas: what a kind says about its objects.

mod defaults;
mod number;
mod prune;
mod validate;

use std::collections::BTreeMap;

use regex::Regex;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

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

/// The schema as a manifest writes it, without the schemas inside of it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Source {
    r#type: String,
    nullable: bool,
    required: Vec<String>,
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
    #[serde(rename = "x-kubernetes-validations")]
    validations: Vec<IgnoredAny>,
}

impl Schema {
    /// Compiles the schema of a manifest.
    ///
    /// # Errors
    /// The path of what cannot be understood, and why.
    pub(crate) fn compile(source: &Value) -> Result<Self, String> {
        Inside {
            value: source,
            path: "openAPIV3Schema",
        }
        .compile()
    }
}

/// A part of a schema and its path. Walks the manifest instead of copying it level by level.
#[derive(Clone, Copy)]
struct Inside<'a> {
    value: &'a Value,
    path: &'a str,
}

impl Inside<'_> {
    fn compile(self) -> Result<Schema, String> {
        let path = self.path;
        let source = Source::deserialize(self.value).map_err(|error| format!("{path}: {error}"))?;
        if !source.validations.is_empty() {
            // To take it would be to promise checks that nobody makes.
            return Err(format!(
                "{path}.x-kubernetes-validations: rules are not supported yet"
            ));
        }
        let default = self.value.get("default").map(Json::from_value);
        Ok(Schema {
            kind: schema_type(&source, path)?,
            nullable: source.nullable,
            properties: self.properties()?,
            additional: self.additional()?,
            items: self.one("items")?,
            preserve_unknown: source.preserve_unknown,
            embedded: source.embedded,
            default: default.transpose()?,
            list: list_type(&source, path)?,
            rules: self.rules(source)?,
        })
    }

    fn rules(self, source: Source) -> Result<Rules, String> {
        Ok(Rules {
            allowed: self.allowed()?,
            minimum: bound(source.minimum.as_ref(), source.exclusive_minimum),
            maximum: bound(source.maximum.as_ref(), source.exclusive_maximum),
            multiple_of: source.multiple_of,
            length_min: source.min_length,
            length_max: source.max_length,
            items_min: source.min_items,
            items_max: source.max_items,
            properties_min: source.min_properties,
            properties_max: source.max_properties,
            pattern: pattern(source.pattern.as_deref(), self.path)?,
            all_of: self.several("allOf")?,
            any_of: self.several("anyOf")?,
            one_of: self.several("oneOf")?,
            not: self.one("not")?,
            required: source.required,
        })
    }

    fn sub(self, value: &Value, name: &str) -> Result<Schema, String> {
        let path = format!("{}.{name}", self.path);
        Inside { value, path: &path }.compile()
    }

    fn one(self, name: &str) -> Result<Option<Box<Schema>>, String> {
        let found = self.value.get(name).map(|value| self.sub(value, name));
        Ok(found.transpose()?.map(Box::new))
    }

    fn several(self, name: &str) -> Result<Vec<Schema>, String> {
        match self.value.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => values.iter().map(|v| self.sub(v, name)).collect(),
            Some(_) => Err(format!("{}.{name}: it must be an array", self.path)),
        }
    }

    fn properties(self) -> Result<BTreeMap<String, Schema>, String> {
        match self.value.get("properties") {
            None => Ok(BTreeMap::new()),
            Some(Value::Object(map)) => map
                .iter()
                .map(|(name, value)| Ok((name.clone(), self.sub(value, name)?)))
                .collect(),
            Some(_) => Err(format!("{}.properties: it must be an object", self.path)),
        }
    }

    fn additional(self) -> Result<Additional, String> {
        const NAME: &str = "additionalProperties";
        Ok(match self.value.get(NAME) {
            None | Some(Value::Bool(false)) => Additional::Nothing,
            Some(Value::Bool(true)) => Additional::Anything,
            Some(value) => Additional::Each(Box::new(self.sub(value, NAME)?)),
        })
    }

    fn allowed(self) -> Result<Option<Vec<Json>>, String> {
        match self.value.get("enum") {
            None => Ok(None),
            Some(Value::Array(values)) => {
                let values = values.iter().map(Json::from_value);
                Ok(Some(values.collect::<Result<_, _>>()?))
            }
            Some(_) => Err(format!("{}.enum: it must be an array", self.path)),
        }
    }
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
