use super::{Additional, Schema, join};
use crate::Json;
use crate::limits::FIELD_PROBLEMS_MAX;

impl Schema {
    /// Removes the fields that the schema does not know, and returns their paths.
    pub(crate) fn prune(&self, json: &mut Json, path: &str) -> Vec<String> {
        let mut unknown = Vec::new();
        self.prune_at(json, path, &mut unknown);
        unknown
    }

    fn prune_at(&self, json: &mut Json, path: &str, unknown: &mut Vec<String>) {
        match json {
            Json::Object(map) => {
                map.retain(|field, value| {
                    let path = join(path, field);
                    match self.field(field) {
                        Field::Known(schema) => schema.prune_at(value, &path, unknown),
                        Field::Free => {}
                        Field::Unknown => {
                            if unknown.len() < FIELD_PROBLEMS_MAX {
                                unknown.push(path);
                            }
                            return false;
                        }
                    }
                    true
                });
            }
            Json::Array(items) => {
                let Some(schema) = &self.items else { return };
                for (index, item) in items.iter_mut().enumerate() {
                    schema.prune_at(item, &format!("{path}[{index}]"), unknown);
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }

    pub(super) fn field(&self, name: &str) -> Field<'_> {
        if let Some(schema) = self.properties.get(name) {
            return Field::Known(schema);
        }
        match &self.additional {
            Additional::Each(schema) => Field::Known(schema),
            Additional::Anything => Field::Free,
            Additional::Nothing if self.preserve_unknown => Field::Free,
            Additional::Nothing
                if self.embedded && matches!(name, "apiVersion" | "kind" | "metadata") =>
            {
                Field::Free
            }
            Additional::Nothing => Field::Unknown,
        }
    }
}

/// What a schema says about a field.
pub(super) enum Field<'a> {
    Known(&'a Schema),
    Free,
    Unknown,
}
