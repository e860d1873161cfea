use crate::kind::{Kind, SelectableField};
use crate::limits::{SELECTOR_BYTES_MAX, SELECTOR_REQUIREMENTS_MAX};
use crate::{Failure, Json, Object, Result};

/// A field selector: all terms must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: Field,
    wanted: Wanted,
    value: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Namespace,
    Selectable(SelectableField),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Equal,
    NotEqual,
}

impl FieldSelector {
    /// Reads `a=b`, `a==b` and `a!=b`, joined by commas; `\\`, `\,` and `\=` stand for themselves
    /// in values. Empty text selects everything.
    pub(crate) fn parse(text: &str, kind: &Kind) -> Result<Self> {
        if text.len() > SELECTOR_BYTES_MAX {
            return Err(Failure::bad_request(format!(
                "the field selector has more than {SELECTOR_BYTES_MAX} bytes"
            )));
        }
        let mut terms = Vec::new();
        for part in split(text).into_iter().filter(|part| !part.is_empty()) {
            if terms.len() == SELECTOR_REQUIREMENTS_MAX {
                return Err(Failure::bad_request(format!(
                    "the field selector has more than {SELECTOR_REQUIREMENTS_MAX} terms"
                )));
            }
            let (label, wanted, value) = term(part).ok_or_else(|| {
                Failure::bad_request(format!(
                    "invalid selector: '{text}'; can't understand '{part}'"
                ))
            })?;
            terms.push(Term {
                field: field(label, kind)?,
                wanted,
                value,
            });
        }
        Ok(Self { terms })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The one name that an object must have, if a term says so.
    pub(crate) fn name(&self) -> Option<&str> {
        let term = self
            .terms
            .iter()
            .find(|term| term.field == Field::Name && term.wanted == Wanted::Equal)?;
        Some(&term.value)
    }

    pub(crate) fn is_name_only(&self) -> bool {
        self.terms.len() == 1 && self.name().is_some()
    }

    /// Tells whether an object is meant. Parses it only if a term needs more than its key.
    pub(crate) fn matches(&self, object: &Object) -> Result<bool> {
        for term in &self.terms {
            let equal = match &term.field {
                Field::Name => object.name() == term.value,
                Field::Namespace => object.namespace().unwrap_or_default() == term.value,
                Field::Selectable(_) => continue,
            };
            if equal != (term.wanted == Wanted::Equal) {
                return Ok(false);
            }
        }
        self.matches_values(object)
    }

    fn matches_values(&self, object: &Object) -> Result<bool> {
        let (mut terms, mut paths) = (Vec::new(), Vec::new());
        for term in &self.terms {
            if let Field::Selectable(field) = &term.field {
                terms.push(term);
                paths.push(&field.path);
            }
        }
        if paths.is_empty() {
            return Ok(true);
        }
        let values = object.fields(&paths)?;
        Ok(terms.iter().zip(values).all(|(term, value)| {
            let equal = text_of(value) == term.value;
            equal == (term.wanted == Wanted::Equal)
        }))
    }
}

/// The text that a selector is compared with; a field that is absent is empty.
fn text_of(value: Option<Json>) -> String {
    match value {
        None => String::new(),
        Some(Json::String(text)) => text,
        Some(other) => other.to_string(),
    }
}

fn field(label: &str, kind: &Kind) -> Result<Field> {
    match label {
        "metadata.name" => Ok(Field::Name),
        "metadata.namespace" => Ok(Field::Namespace),
        _ => kind
            .selectable_fields()
            .iter()
            .find(|field| field.label == label)
            .map(|field| Field::Selectable(field.clone()))
            .ok_or_else(|| Failure::bad_request(format!("field label not supported: {label}"))),
    }
}

/// Splits at commas that are not escaped.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn term(part: &str) -> Option<(&str, Wanted, String)> {
    let at = part.find(['=', '!'])?;
    let (label, rest) = part.split_at(at);
    let (wanted, value) = if let Some(value) = rest.strip_prefix("!=") {
        (Wanted::NotEqual, value)
    } else if let Some(value) = rest.strip_prefix("==") {
        (Wanted::Equal, value)
    } else {
        (Wanted::Equal, rest.strip_prefix('=')?)
    };
    Some((label.trim(), wanted, unescape(value)?))
}

fn unescape(text: &str) -> Option<String> {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.push(chars.next().filter(|c| matches!(c, '\\' | ',' | '='))?),
            '=' => return None,
            _ => plain.push(c),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use storage_core::{ResourceKey, Revision};

    use super::*;
    use crate::Kinds;

    #[test]
    fn each_form_selects() {
        let kind = Kinds::built_in()
            .snapshot()
            .find("folder.grafana.app", "v1beta1", "folders")
            .unwrap();
        let key = ResourceKey::new("folder.grafana.app", "folders", "default", "f").unwrap();
        let value = concat!(
            r#"{"apiVersion":"folder.grafana.app/v1beta1","kind":"Folder","#,
            r#""metadata":{"name":"f"},"spec":{"title":"a,b=c\\"}}"#
        );
        let value = Bytes::from_static(value.as_bytes());
        let object = Object::from_value(kind.clone(), key, Revision::new(1), value).unwrap();
        for (selector, expected) in [
            ("", true),
            ("metadata.name=f", true),
            ("metadata.name==f,metadata.namespace=default", true),
            ("metadata.name!=f", false),
            ("metadata.namespace!=other", true),
            (r"spec.title=a\,b\=c\\", true),
            ("spec.title!=x,", true),
            ("spec.title=", false),
            ("spec.parent=", true),
        ] {
            let parsed = FieldSelector::parse(selector, &kind).unwrap();
            assert_eq!(parsed.matches(&object).unwrap(), expected, "{selector:?}");
        }
        for (selector, why) in [
            (
                "spec.description=x",
                "field label not supported: spec.description",
            ),
            ("status.x!=y", "field label not supported: status.x"),
            (
                "metadata.name",
                "invalid selector: 'metadata.name'; can't understand 'metadata.name'",
            ),
            (
                r"metadata.name=\x",
                r"invalid selector: 'metadata.name=\x'; can't understand 'metadata.name=\x'",
            ),
            (
                "metadata.name=a=b",
                "invalid selector: 'metadata.name=a=b'; can't understand 'metadata.name=a=b'",
            ),
        ] {
            let failure = FieldSelector::parse(selector, &kind).unwrap_err();
            assert_eq!(failure.message(), why);
        }
    }
}
