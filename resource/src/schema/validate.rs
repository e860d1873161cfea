use super::prune::Field;
use super::{Bound, ListType, Rules, Schema, SchemaType, join};
use crate::causes::Causes;
use crate::failure::shown;
use crate::json::Number;
use crate::{Cause, CauseReason, Json};

impl Schema {
    /// Adds what is wrong with an object.
    pub(crate) fn validate(&self, root: &Json, causes: &mut Causes) {
        self.check(root, "", causes);
    }

    fn problems(&self, json: &Json, path: &str) -> Causes {
        let mut causes = Causes::default();
        self.check(json, path, &mut causes);
        causes
    }

    fn check(&self, json: &Json, path: &str, causes: &mut Causes) {
        if causes.is_full() {
            return;
        }
        if json.is_null() && self.nullable {
            return;
        }
        if let Some(kind) = self.kind
            && !kind.takes(json)
        {
            causes.push(wrong_type(path, json, kind));
            return;
        }
        match json {
            Json::Object(map) => {
                for (name, value) in map {
                    if let Field::Known(schema) = self.field(name) {
                        schema.check(value, &join(path, name), causes);
                    }
                }
            }
            Json::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let Some(schema) = &self.items {
                        schema.check(item, &format!("{path}[{index}]"), causes);
                    }
                }
                self.list.check(items, path, causes);
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
        self.rules.check(json, path, causes);
    }

    fn accepts(&self, json: &Json, path: &str) -> bool {
        self.problems(json, path).is_empty()
    }
}

impl SchemaType {
    fn takes(self, json: &Json) -> bool {
        match (self, json) {
            (Self::Object, Json::Object(_))
            | (Self::Array, Json::Array(_))
            | (Self::String | Self::IntOrString, Json::String(_))
            | (Self::Boolean, Json::Bool(_))
            | (Self::Number, Json::Number(_)) => true,
            (Self::Integer | Self::IntOrString, Json::Number(number)) => number.is_integer(),
            _ => false,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::IntOrString => "integer,string",
        }
    }
}

fn wrong_type(path: &str, json: &Json, kind: SchemaType) -> Cause {
    let (found, wanted) = (json.type_name(), kind.name());
    Cause::new(
        CauseReason::TypeInvalid,
        path,
        format!("Invalid value: \"{found}\": {path} in body must be of type {wanted}: \"{found}\""),
    )
}

impl ListType {
    fn check(&self, items: &[Json], path: &str, causes: &mut Causes) {
        let identities: Vec<Json> = match self {
            Self::Atomic => return,
            Self::Set => items.to_vec(),
            Self::Map(keys) => items.iter().map(|item| identity(item, keys)).collect(),
        };
        // Sorted by text: a comparison of all pairs would be quadratic in what a client sends.
        let mut order: Vec<(String, usize)> = identities
            .iter()
            .enumerate()
            .map(|(index, json)| (json.to_string(), index))
            .collect();
        order.sort();
        let mut repeated: Vec<usize> = order
            .windows(2)
            .filter(|pair| pair[0].0 == pair[1].0)
            .map(|pair| pair[1].1)
            .collect();
        repeated.sort_unstable();
        for index in repeated {
            causes.push(Cause::new(
                CauseReason::Duplicate,
                format!("{path}[{index}]"),
                format!("Duplicate value: {}", shown(&identities[index])),
            ));
        }
    }
}

fn identity(item: &Json, keys: &[String]) -> Json {
    let fields = keys.iter().filter_map(|key| {
        let value = item.get(key)?;
        Some((key.clone(), value.clone()))
    });
    Json::Object(fields.collect())
}

impl Rules {
    fn check(&self, json: &Json, path: &str, causes: &mut Causes) {
        self.check_enum(json, path, causes);
        match json {
            Json::Object(map) => {
                for field in &self.required {
                    if !map.contains_key(field) {
                        causes.required(join(path, field), "");
                    }
                }
                let (min, max) = (self.properties_min, self.properties_max);
                count(map.len(), (min, max), "properties", json, path, causes);
            }
            Json::Array(items) => {
                let (min, max) = (self.items_min, self.items_max);
                count(items.len(), (min, max), "items", json, path, causes);
            }
            Json::String(text) => self.check_text(text, json, path, causes),
            Json::Number(number) => self.check_number(number, path, causes),
            Json::Null | Json::Bool(_) => {}
        }
        self.check_junctors(json, path, causes);
    }

    fn check_enum(&self, json: &Json, path: &str, causes: &mut Causes) {
        let Some(allowed) = &self.allowed else { return };
        if !allowed.iter().any(|value| value.same_as(json)) {
            let supported: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            causes.push(Cause::not_supported(path, json, &supported));
        }
    }

    fn check_text(&self, text: &str, json: &Json, path: &str, causes: &mut Causes) {
        let length = text.chars().count();
        if let Some(min) = self.length_min.filter(|min| length < *min) {
            let why = format!("{path} in body should be at least {min} chars long");
            causes.push(Cause::invalid(path, json, &why));
        }
        if let Some(max) = self.length_max.filter(|max| length > *max) {
            causes.too_long(path, max);
        }
        if let Some(pattern) = self.pattern.as_ref().filter(|p| !p.is_match(text)) {
            let why = format!("{path} in body should match '{pattern}'");
            causes.push(Cause::invalid(path, json, &why));
        }
    }

    fn check_number(&self, number: &Number, path: &str, causes: &mut Causes) {
        let value = number.as_f64();
        let mut refuse = |why: String| {
            let why = format!("{path} in body should be {why}");
            causes.push(Cause::invalid(path, number.as_text(), &why));
        };
        if let Some(bound) = self.minimum.as_ref().filter(|b| b.is_below(value)) {
            refuse(format!("greater than {}{}", bound.or_equal(), bound.text));
        }
        if let Some(bound) = self.maximum.as_ref().filter(|b| b.is_above(value)) {
            refuse(format!("less than {}{}", bound.or_equal(), bound.text));
        }
        if let Some(step) = self
            .multiple_of
            .filter(|step| (value / step).fract() != 0.0)
        {
            refuse(format!("a multiple of {step}"));
        }
    }

    fn check_junctors(&self, json: &Json, path: &str, causes: &mut Causes) {
        for schema in &self.all_of {
            schema.check(json, path, causes);
        }
        let mut refuse = |why: &str| {
            causes.push(Cause::invalid(path, json, &format!("{path:?} {why}")));
        };
        if !self.any_of.is_empty() && !self.any_of.iter().any(|s| s.accepts(json, path)) {
            refuse("must validate at least one schema (anyOf)");
        }
        let matching = self.one_of.iter().filter(|s| s.accepts(json, path)).count();
        match (self.one_of.len(), matching) {
            (0, _) | (_, 1) => {}
            (_, 0) => {
                refuse("must validate one and only one schema (oneOf). Found none valid");
            }
            (_, found) => refuse(&format!(
                "must validate one and only one schema (oneOf). Found {found} valid alternatives"
            )),
        }
        if self.not.as_ref().is_some_and(|s| s.accepts(json, path)) {
            refuse("must not validate the schema (not)");
        }
    }
}

impl Bound {
    fn is_below(&self, value: f64) -> bool {
        value < self.value || (self.exclusive && value <= self.value)
    }

    fn is_above(&self, value: f64) -> bool {
        value > self.value || (self.exclusive && value >= self.value)
    }

    const fn or_equal(&self) -> &'static str {
        if self.exclusive { "" } else { "or equal to " }
    }
}

fn count(
    found: usize,
    (min, max): (Option<usize>, Option<usize>),
    what: &str,
    json: &Json,
    path: &str,
    causes: &mut Causes,
) {
    if let Some(min) = min.filter(|min| found < *min) {
        let why = format!("{path} in body should have at least {min} {what}");
        causes.push(Cause::invalid(path, json, &why));
    }
    if let Some(max) = max.filter(|max| found > *max) {
        let why = format!("Too many: {found}: must have at most {max} items");
        causes.push(Cause::new(CauseReason::TooMany, path, why));
    }
}
