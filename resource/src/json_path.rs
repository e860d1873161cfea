use std::fmt;
use std::str::FromStr;

use crate::Json;

/// A path into an object, as printer columns and selectable fields write it: the dotted form, with
/// `['key']`, `[0]`, `[*]` and filters of the form `[?(@.type=="Ready")]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath {
    text: String,
    steps: Vec<PathStep>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PathStep {
    Field(String),
    Index(usize),
    All,
    Filter { path: Vec<String>, equals: String },
}

impl JsonPath {
    /// Returns what the path leads to: nothing, one value, or several by `[*]` and filters.
    #[must_use]
    pub fn find<'a>(&self, root: &'a Json) -> Vec<&'a Json> {
        find(&self.steps, root)
    }

    /// Tells whether the path consists of field names only, so that it leads to one value at most.
    #[must_use]
    pub fn is_simple(&self) -> bool {
        self.steps.iter().all(|s| matches!(s, PathStep::Field(_)))
    }

    pub(crate) fn steps(&self) -> &[PathStep] {
        &self.steps
    }
}

pub(crate) fn find<'a>(steps: &[PathStep], root: &'a Json) -> Vec<&'a Json> {
    let mut found = vec![root];
    for step in steps {
        found = found
            .into_iter()
            .flat_map(|json| step.apply(json))
            .collect();
    }
    found
}

impl PathStep {
    fn apply<'a>(&self, json: &'a Json) -> Vec<&'a Json> {
        match self {
            Self::Field(name) => json.get(name).into_iter().collect(),
            Self::Index(index) => json
                .as_array()
                .and_then(|items| items.get(*index))
                .into_iter()
                .collect(),
            Self::All => json.as_array().unwrap_or_default().iter().collect(),
            Self::Filter { path, equals } => json
                .as_array()
                .unwrap_or_default()
                .iter()
                .filter(|item| text_at(item, path).as_deref() == Some(equals))
                .collect(),
        }
    }
}

fn text_at(item: &Json, path: &[String]) -> Option<String> {
    let found = path.iter().try_fold(item, |json, field| json.get(field))?;
    Some(match found {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    })
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for JsonPath {
    type Err = String;

    /// Reads a path that starts with `.` or `[`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (step, after) = next_step(rest)
                .ok_or_else(|| format!("{text:?} is not a simple JSON path at {rest:?}"))?;
            steps.push(step);
            rest = after;
        }
        if steps.is_empty() {
            return Err("a JSON path must not be empty".into());
        }
        Ok(Self {
            text: text.into(),
            steps,
        })
    }
}

fn next_step(rest: &str) -> Option<(PathStep, &str)> {
    if let Some(after) = rest.strip_prefix('.') {
        let (name, after) = field_name(after)?;
        return Some((PathStep::Field(name), after));
    }
    let (inside, after) = bracket(rest.strip_prefix('[')?)?;
    let step = if inside == "*" {
        PathStep::All
    } else if let Some(name) = quoted(inside) {
        PathStep::Field(name)
    } else if let Some(condition) = inside.strip_prefix("?(") {
        filter(condition.strip_suffix(')')?)?
    } else {
        PathStep::Index(inside.parse().ok()?)
    };
    Some((step, after))
}

/// Reads a field name; `\.` is a dot in it.
fn field_name(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    let mut end = text.len();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.push(chars.next()?.1),
            '.' | '[' => {
                end = at;
                break;
            }
            _ => name.push(c),
        }
    }
    (!name.is_empty()).then_some((name, &text[end..]))
}

/// Splits at the bracket that closes, quotes respected.
fn bracket(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (None, ']') => return Some((&text[..at], &text[at + 1..])),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

fn quoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let inside = text.get(1..)?.strip_suffix(quote)?;
    Some(inside.into())
}

fn filter(condition: &str) -> Option<PathStep> {
    let (left, right) = condition.split_once("==")?;
    let right = right.trim();
    let path = left.trim().strip_prefix("@.")?;
    Some(PathStep::Filter {
        path: path.split('.').map(String::from).collect(),
        equals: quoted(right).unwrap_or_else(|| right.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_values() {
        let text = br#"{"spec":{"title":"t","items":[{"v":1},{"v":2}]},
            "metadata":{"annotations":{"a.b/c":"x"}},
            "status":{"conditions":[{"type":"Ready","status":"True"},{"type":"Other"}]}}"#;
        let root = crate::json::parse(text).unwrap().root;
        for (path, expected) in [
            (".spec.title", "t"),
            (".spec.items[1].v", "2"),
            (".spec.items[*].v", "1,2"),
            (".metadata.annotations['a.b/c']", "x"),
            (r".metadata.annotations.a\.b/c", "x"),
            (r#".status.conditions[?(@.type=="Ready")].status"#, "True"),
            (".status.conditions[?(@.type == 'Other')].status", ""),
            (".spec.missing.deeper", ""),
            (".spec.items[9]", ""),
        ] {
            let found: Vec<String> = path
                .parse::<JsonPath>()
                .unwrap()
                .find(&root)
                .into_iter()
                .map(|json| json.as_str().map_or_else(|| json.to_string(), String::from))
                .collect();
            assert_eq!(found.join(","), expected, "{path}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "spec",
            ".",
            "..a",
            ".a[",
            ".a[x]",
            ".a[?(@.b)]",
            ".a['b]",
        ] {
            assert!(text.parse::<JsonPath>().is_err(), "{text:?} was taken");
        }
    }
}
