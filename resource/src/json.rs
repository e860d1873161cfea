//! JSON that comes back as it was sent.
//!
//! `serde_json::Value` keeps numbers as `i64`, `u64` or `f64`: `1.0` survives, a long integer does
//! not. Its `arbitrary_precision` would change number handling in every crate of the build, because
//! cargo unites features, and breaks types that take "a number or a string". So an object that is
//! being written is this tree: the text of each number is kept. The lexing (strings, escapes, the
//! grammar of numbers) is still serde_json's.

mod read;
mod write;

use std::collections::BTreeMap;

pub use read::{Parsed, parse};
pub(crate) use write::write_string;

/// The fields of an object, sorted by key.
pub type Map = BTreeMap<String, Json>;

/// A JSON value. Equality is by content; numbers are equal if their texts are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(String),
    /// A list.
    Array(Vec<Self>),
    /// An object.
    Object(Map),
}

/// A number by its text, which is valid JSON and within the range of an `f64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number(Box<str>);

impl Number {
    /// Returns the text.
    #[must_use]
    pub fn as_text(&self) -> &str {
        &self.0
    }

    /// Returns the number if it is written as an integer that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// Returns the nearest float.
    #[must_use]
    pub fn as_f64(&self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN)
    }

    /// Tells whether it has neither fraction nor exponent, or a fraction of zeros only.
    #[must_use]
    pub fn is_integer(&self) -> bool {
        match self.0.split_once(['.', 'e', 'E']) {
            None => true,
            Some(_) => self.as_f64().fract() == 0.0,
        }
    }

    /// Tells whether two numbers are the same, however they are written.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        match (self.0.parse::<i128>(), other.0.parse::<i128>()) {
            (Ok(a), Ok(b)) => a == b,
            _ => self == other || self.as_f64() == other.as_f64(),
        }
    }
}

impl From<i64> for Json {
    fn from(number: i64) -> Self {
        Self::Number(Number(number.to_string().into()))
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl Json {
    /// Returns the string, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the fields, if it is an object.
    #[must_use]
    pub const fn as_object(&self) -> Option<&Map> {
        match self {
            Self::Object(map) => Some(map),
            _ => None,
        }
    }

    /// Returns the fields, if it is an object.
    pub const fn as_object_mut(&mut self) -> Option<&mut Map> {
        match self {
            Self::Object(map) => Some(map),
            _ => None,
        }
    }

    /// Makes it an object if it is none, and returns its fields.
    pub(crate) fn object_mut(&mut self) -> &mut Map {
        if !matches!(self, Self::Object(_)) {
            *self = Self::Object(Map::new());
        }
        match self {
            Self::Object(map) => map,
            _ => unreachable!("it was just made an object"),
        }
    }

    /// Returns the items, if it is a list.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the field of an object.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Self> {
        self.as_object()?.get(field)
    }

    /// Tells whether it is `null`.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Compares as JSON patch does: numbers by value.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.same_as(b),
            (Self::Array(a), Self::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same_as(b))
            }
            (Self::Object(a), Self::Object(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .zip(b)
                        .all(|((k, a), (l, b))| k == l && a.same_as(b))
            }
            _ => self == other,
        }
    }

    /// Returns the name of its type, as schemas call it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(number) if number.is_integer() => "integer",
            Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }

    /// Converts a serde_json value, which keeps numbers as well as that can.
    ///
    /// # Errors
    /// Nesting beyond [`JSON_DEPTH_MAX`](crate::limits::JSON_DEPTH_MAX).
    pub fn from_value(value: &serde_json::Value) -> Result<Self, String> {
        Ok(parse(value.to_string().as_bytes())?.root)
    }

    /// Converts to a serde_json value; a number that does not fit becomes the nearest float.
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        use serde_json::Value;
        match self {
            Self::Null => Value::Null,
            Self::Bool(flag) => Value::Bool(*flag),
            Self::Number(number) => match number.0.parse::<serde_json::Number>() {
                Ok(number) => Value::Number(number),
                Err(_) => Value::Null,
            },
            Self::String(text) => Value::String(text.clone()),
            Self::Array(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Self::Object(map) => {
                let fields = map.iter().map(|(key, item)| (key.clone(), item.to_value()));
                Value::Object(fields.collect())
            }
        }
    }
}
