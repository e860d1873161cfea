use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Object;
use crate::json_path::{PathStep, find};
use crate::{Json, JsonPath, Result, json};

impl Object {
    /// Returns the values that paths lead to, in the order of the paths; a path that leads to
    /// nothing or to `null` gives none, one that leads to several gives a list of them.
    ///
    /// Reads no deeper than needed: what no path names is skipped.
    ///
    /// # Errors
    /// `InternalError` if the stored bytes are not JSON.
    pub fn fields(&self, paths: &[&JsonPath]) -> Result<Vec<Option<Json>>> {
        let mut found = vec![None; paths.len()];
        let in_metadata = |(_, steps): &(usize, &[PathStep])| matches!(steps.first(), Some(PathStep::Field(name)) if name == "metadata");
        let wanted = paths.iter().map(|path| path.steps()).enumerate();
        let (metadata, others): (Wanted<'_>, Wanted<'_>) = wanted.partition(in_metadata);
        if !metadata.is_empty() {
            let metadata = metadata.into_iter().map(|(i, steps)| (i, &steps[1..]));
            self.pluck(self.metadata_text()?, metadata.collect(), &mut found)?;
        }
        if !others.is_empty() {
            let text = std::str::from_utf8(&self.value).map_err(|error| self.corrupt(&error))?;
            self.pluck(text, others, &mut found)?;
        }
        Ok(found)
    }

    fn pluck(&self, text: &str, wanted: Wanted<'_>, found: &mut Found) -> Result<()> {
        let mut reader = serde_json::Deserializer::from_str(text);
        Pluck { wanted, found }
            .deserialize(&mut reader)
            .map_err(|error| self.corrupt(&error))
    }
}

type Wanted<'a> = Vec<(usize, &'a [PathStep])>;
type Found = [Option<Json>];

/// Reads the wanted parts of a value and skips the rest.
struct Pluck<'a> {
    wanted: Wanted<'a>,
    found: &'a mut Found,
}

impl<'de> DeserializeSeed<'de> for Pluck<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        let goes_deeper =
            |(_, steps): &(usize, &[PathStep])| matches!(steps.first(), Some(PathStep::Field(_)));
        if self.wanted.iter().all(goes_deeper) {
            return reader.deserialize_any(self);
        }
        let raw = <&RawValue>::deserialize(reader)?;
        let value = json::parse(raw.get().as_bytes()).map_err(D::Error::custom)?;
        for (index, steps) in self.wanted {
            self.found[index] = one_of(&find(steps, &value.root));
        }
        Ok(())
    }
}

fn one_of(found: &[&Json]) -> Option<Json> {
    match found {
        [] | [Json::Null] => None,
        [one] => Some((*one).clone()),
        many => Some(Json::Array(many.iter().copied().cloned().collect())),
    }
}

impl<'de> Visitor<'de> for Pluck<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let wanted: Wanted<'_> = self
                .wanted
                .iter()
                .filter(|(_, steps)| matches!(&steps[0], PathStep::Field(name) if *name == key))
                .map(|(index, steps)| (*index, &steps[1..]))
                .collect();
            if wanted.is_empty() {
                map.next_value::<IgnoredAny>()?;
            } else {
                let found = &mut *self.found;
                map.next_value_seed(Pluck { wanted, found })?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use storage_core::{ResourceKey, Revision};

    use super::*;
    use crate::Kinds;

    #[test]
    fn fields_are_read_where_they_are() {
        let kind = Kinds::built_in()
            .snapshot()
            .find("folder.grafana.app", "v1beta1", "folders")
            .unwrap();
        let key = ResourceKey::new("folder.grafana.app", "folders", "default", "f").unwrap();
        let value = concat!(
            r#"{"apiVersion":"folder.grafana.app/v1beta1","kind":"Folder","metadata":"#,
            r#"{"creationTimestamp":"T","name":"f"},"#,
            r#""spec":{"big":123456789012345678901,"l":[{"v":1},{"v":2}],"n":null,"t":"x"}}"#
        );
        let value = Bytes::from_static(value.as_bytes());
        let object = Object::from_value(kind, key, Revision::new(1), value).unwrap();
        let paths: Vec<JsonPath> = [
            ".spec.t",
            ".metadata.creationTimestamp",
            ".spec.big",
            ".spec.l[1].v",
            ".spec.l[*].v",
            ".spec.n",
            ".spec.t.deeper",
            ".missing",
            ".metadata",
            ".kind",
        ]
        .iter()
        .map(|path| path.parse().unwrap())
        .collect();
        let found = object.fields(&paths.iter().collect::<Vec<_>>()).unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|json| json.as_ref().map_or_else(String::new, ToString::to_string))
            .collect();
        assert_eq!(
            shown,
            [
                "\"x\"",
                "\"T\"",
                "123456789012345678901",
                "2",
                "[1,2]",
                "",
                "",
                "",
                r#"{"creationTimestamp":"T","name":"f"}"#,
                "\"Folder\"",
            ]
        );
    }
}
