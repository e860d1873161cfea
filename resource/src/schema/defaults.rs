use super::Schema;
use super::prune::Field;
use crate::Json;

impl Schema {
    /// Fills in what is missing and has a default. A `null` where none is allowed and a default
    /// exists counts as missing.
    pub(crate) fn fill_defaults(&self, json: &mut Json) {
        match json {
            Json::Object(map) => {
                for (name, schema) in &self.properties {
                    let Some(default) = &schema.default else {
                        continue;
                    };
                    match map.get(name) {
                        Some(Json::Null) if !schema.nullable => {}
                        None => {}
                        Some(_) => continue,
                    }
                    map.insert(name.clone(), default.clone());
                }
                for (name, value) in map {
                    if let Field::Known(schema) = self.field(name) {
                        schema.fill_defaults(value);
                    }
                }
            }
            Json::Array(items) => {
                for item in items {
                    if let Some(schema) = &self.items {
                        schema.fill_defaults(item);
                    }
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }
}
