//! Objects as bytes.
//!
//! An object is stored as the JSON that will be sent, without `metadata.resourceVersion`: the
//! version is not known before the commit, and is the store's to say. It is stored in one layout,
//! `{"apiVersion":…,"kind":…,"metadata":{` and then the rest, so that a read replaces this head by
//! the kind's own and the version, and copies the rest. Nothing is parsed or encoded on the way
//! out, and an object that was stored at another version of its kind is sent at the asked one.

mod fields;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use storage_core::{ResourceKey, Revision, Stored};

use crate::json::Map;
use crate::kind::Kind;
use crate::{Failure, Json, Result, json};

/// A revision of an object. Clones share the bytes; writing it out parses nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    kind: Arc<Kind>,
    key: ResourceKey,
    revision: Revision,
    value: Bytes,
    /// Where `metadata`'s first field starts in `value`.
    tail_at: usize,
}

impl Object {
    /// Takes an object out of the store.
    pub(crate) fn from_stored(kind: Arc<Kind>, stored: Stored) -> Result<Self> {
        Self::from_value(kind, stored.key, stored.revision, stored.value)
    }

    /// Takes a value that is or was in the store.
    pub(crate) fn from_value(
        kind: Arc<Kind>,
        key: ResourceKey,
        revision: Revision,
        value: Bytes,
    ) -> Result<Self> {
        let (value, tail_at) = match tail_at(&value) {
            Some(at) => (value, at),
            None => relaid(&kind, &key, &value)?,
        };
        Ok(Self {
            kind,
            key,
            revision,
            value,
            tail_at,
        })
    }

    /// Returns the kind that it is shown as.
    #[must_use]
    pub const fn kind(&self) -> &Arc<Kind> {
        &self.kind
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.key.name()
    }

    /// Returns the namespace; none for a cluster-scoped kind.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        Some(self.key.namespace()).filter(|namespace| !namespace.is_empty())
    }

    pub(crate) const fn key(&self) -> &ResourceKey {
        &self.key
    }

    /// Returns the revision; zero for an object that was not stored, which has no
    /// `resourceVersion` in its JSON.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    pub(crate) const fn stored_bytes(&self) -> &Bytes {
        &self.value
    }

    /// The same state under another revision.
    pub(crate) fn at(&self, revision: Revision) -> Self {
        Self {
            revision,
            ..self.clone()
        }
    }

    /// The stored bytes with one more field in the metadata, given with its comma. It must not be
    /// there yet.
    pub(crate) fn with_field(&self, field: &str) -> Bytes {
        let mut value = Vec::with_capacity(self.value.len() + field.len());
        value.extend_from_slice(&self.value[..self.tail_at]);
        value.extend_from_slice(field.as_bytes());
        value.extend_from_slice(&self.value[self.tail_at..]);
        value.into()
    }

    /// Returns the JSON.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.json_len());
        self.write_json(&mut out);
        out.into()
    }

    /// Appends the JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend(self.kind.head().bytes());
        write_version(self.revision, out);
        out.extend_from_slice(&self.value[self.tail_at..]);
    }

    /// Returns about how many bytes the JSON has, never fewer than it has.
    #[must_use]
    pub fn json_len(&self) -> usize {
        const VERSION_BYTES_MAX: usize = "\"resourceVersion\":\"\",".len() + 20;
        self.kind.head().len() + VERSION_BYTES_MAX + self.value.len() - self.tail_at
    }

    /// Appends the object's metadata as a `PartialObjectMetadata`.
    ///
    /// # Errors
    /// `InternalError` if the stored bytes are not JSON.
    pub fn write_partial_metadata(&self, out: &mut Vec<u8>) -> Result<()> {
        let metadata = self.metadata_text()?;
        out.extend(PARTIAL_HEAD.bytes());
        write_version(self.revision, out);
        out.extend_from_slice(&metadata.as_bytes()[1..]);
        out.push(b'}');
        Ok(())
    }

    /// Returns `metadata.uid`.
    ///
    /// # Errors
    /// `InternalError` if the stored bytes are not JSON.
    pub fn uid(&self) -> Result<String> {
        Ok(self.meta()?.uid.into_owned())
    }

    /// Reads the few things of the metadata that decisions are made by.
    pub(crate) fn meta(&self) -> Result<Meta<'_>> {
        serde_json::from_str(self.metadata_text()?).map_err(|error| self.corrupt(&error))
    }

    /// Reads the whole object, as it is sent: with its version.
    pub(crate) fn read(&self) -> Result<Json> {
        json::parse(&self.to_json())
            .map(|parsed| parsed.root)
            .map_err(|error| self.corrupt(&error))
    }

    /// The text of `metadata`, without reading what follows it.
    fn metadata_text(&self) -> Result<&str> {
        let from = &self.value[self.tail_at - 1..];
        let mut values = serde_json::Deserializer::from_slice(from).into_iter::<&RawValue>();
        match values.next() {
            Some(Ok(raw)) => Ok(raw.get()),
            Some(Err(error)) => Err(self.corrupt(&error)),
            None => Err(self.corrupt(&"the value ends early")),
        }
    }

    fn corrupt(&self, error: &dyn std::fmt::Display) -> Failure {
        corrupt(&self.key, error)
    }
}

pub(crate) const PARTIAL_HEAD: &str =
    "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{";

fn corrupt(key: &ResourceKey, error: &dyn std::fmt::Display) -> Failure {
    tracing::error!(%key, %error, "a stored object cannot be read");
    Failure::internal(format!("the stored object {key} cannot be read: {error}"))
}

/// What decisions are made by.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meta<'a> {
    #[serde(borrow, default)]
    pub(crate) uid: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) labels: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) finalizers: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) deletion_timestamp: Option<Cow<'a, str>>,
}

fn write_version(revision: Revision, out: &mut Vec<u8>) {
    if revision > Revision::ZERO {
        out.extend(format!("\"resourceVersion\":\"{revision}\",").bytes());
    }
}

/// Finds the first field of `metadata` in a value of our layout.
fn tail_at(value: &[u8]) -> Option<usize> {
    let rest = value.strip_prefix(b"{\"apiVersion\":\"")?;
    let rest = after_word(rest)?.strip_prefix(b",\"kind\":\"")?;
    let rest = after_word(rest)?.strip_prefix(b",\"metadata\":{")?;
    // An empty metadata would make a comma too many; no object of ours has one.
    (rest.first() == Some(&b'"')).then_some(value.len() - rest.len())
}

/// Steps over a word without escapes and the quote behind it.
fn after_word(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().position(|b| matches!(b, b'"' | b'\\'))?;
    text[end..].strip_prefix(b"\"")
}

/// Encodes an object in the stored layout. The metadata must not be empty.
pub(crate) fn encode(kind: &Kind, object: &Map) -> Bytes {
    let mut out = Vec::new();
    out.extend(kind.head().bytes());
    let metadata = object.get("metadata").and_then(Json::as_object);
    let fields = metadata.into_iter().flatten();
    write_fields(
        fields.filter(|(key, _)| *key != "resourceVersion"),
        &mut out,
    );
    out.push(b'}');
    let rest = object
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "apiVersion" | "kind" | "metadata"));
    for (key, value) in rest {
        out.push(b',');
        write_fields([(key, value)].into_iter(), &mut out);
    }
    out.push(b'}');
    out.into()
}

fn write_fields<'a>(fields: impl Iterator<Item = (&'a String, &'a Json)>, out: &mut Vec<u8>) {
    for (index, (key, value)) in fields.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::write_string(key, out);
        out.push(b':');
        value.write(out);
    }
}

/// Brings a value that another writer stored into our layout.
fn relaid(kind: &Kind, key: &ResourceKey, value: &[u8]) -> Result<(Bytes, usize)> {
    let refuse = |why: &dyn std::fmt::Display| corrupt(key, why);
    let mut root = json::parse(value).map_err(|error| refuse(&error))?.root;
    let object = root
        .as_object_mut()
        .ok_or_else(|| refuse(&"it is not a JSON object"))?;
    let metadata = object.entry("metadata".into()).or_default();
    if metadata.is_null() {
        *metadata = Json::Object(Map::new());
    }
    let metadata = metadata
        .as_object_mut()
        .ok_or_else(|| refuse(&"its metadata is not a JSON object"))?;
    metadata.insert("name".into(), key.name().into());
    if !key.namespace().is_empty() {
        metadata.insert("namespace".into(), key.namespace().into());
    }
    let value = encode(kind, object);
    let at = tail_at(&value).ok_or_else(|| refuse(&"its metadata is empty"))?;
    Ok((value, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kinds;

    fn object(value: &str, revision: u64) -> Result<Object> {
        let kind = Kinds::built_in()
            .snapshot()
            .find("folder.grafana.app", "v1beta1", "folders")
            .unwrap();
        let key = ResourceKey::new("folder.grafana.app", "folders", "default", "f").unwrap();
        let value = Bytes::copy_from_slice(value.as_bytes());
        Object::from_value(kind, key, Revision::new(revision), value)
    }

    const STORED: &str = concat!(
        r#"{"apiVersion":"folder.grafana.app/v1beta1","kind":"Folder","#,
        r#""metadata":{"labels":{"a":"}\"{"},"name":"f","uid":"u"},"spec":{"title":"metadata"}}"#
    );

    #[test]
    fn the_version_is_spliced_in() {
        let shown = STORED.replace("\"metadata\":{", "\"metadata\":{\"resourceVersion\":\"7\",");
        let folder = object(STORED, 7).unwrap();
        assert_eq!(folder.to_json(), shown.as_bytes());
        assert!(folder.json_len() >= shown.len());
        assert_eq!(object(STORED, 0).unwrap().to_json(), STORED.as_bytes());
        assert_eq!(folder.uid().unwrap(), "u");
        assert_eq!(folder.meta().unwrap().labels["a"], "}\"{");
    }

    #[test]
    fn metadata_alone() {
        let mut out = Vec::new();
        object(STORED, 7)
            .unwrap()
            .write_partial_metadata(&mut out)
            .unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","#,
                r#""metadata":{"resourceVersion":"7","labels":{"a":"}\"{"},"name":"f","uid":"u"}}"#
            )
        );
    }

    #[test]
    fn another_version_of_the_kind_is_shown_as_asked() {
        let old = STORED.replace("/v1beta1", "/v0");
        assert_eq!(object(&old, 0).unwrap().to_json(), STORED.as_bytes());
    }

    #[test]
    fn another_layout_is_brought_into_ours() {
        let foreign = r#"{ "spec": {"n":1.0}, "kind":"Folder","metadata":
            {"resourceVersion":"3","annotations":{}}, "apiVersion":"folder.grafana.app/v1beta1"}"#;
        assert_eq!(
            object(foreign, 9).unwrap().to_json(),
            concat!(
                r#"{"apiVersion":"folder.grafana.app/v1beta1","kind":"Folder","metadata":"#,
                r#"{"resourceVersion":"9","annotations":{},"name":"f","namespace":"default"},"#,
                r#""spec":{"n":1.0}}"#
            )
        );
        for bad in ["", "[]", "{", r#"{"metadata":1}"#] {
            assert!(object(bad, 9).is_err(), "{bad:?} was taken");
        }
    }
}
