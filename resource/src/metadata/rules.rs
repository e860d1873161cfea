use super::{GET_HISTORY, GET_TRASH, finalizers, text_of};
use crate::causes::Causes;
use crate::json::Map;
use crate::limits::ANNOTATIONS_BYTES_MAX;
use crate::names::{self, NameRule};
use crate::{Cause, Json};

/// Adds what is wrong with the metadata of an object that has its name.
pub(crate) fn check(metadata: &Map, rule: NameRule, causes: &mut Causes) {
    let name = text_of(metadata, "name");
    if let Some(why) = names::object_name(name, rule) {
        causes.push(Cause::invalid("metadata.name", format!("{name:?}"), &why));
    }
    check_labels(metadata, causes);
    check_annotations(metadata, causes);
    for finalizer in finalizers(metadata) {
        if let Some(why) = names::qualified_name(finalizer) {
            let finalizer = format!("{finalizer:?}");
            causes.push(Cause::invalid("metadata.finalizers", finalizer, &why));
        }
    }
    check_owners(metadata, causes);
}

fn texts<'a>(metadata: &'a Map, field: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let map = metadata.get(field).and_then(Json::as_object);
    map.into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

fn check_labels(metadata: &Map, causes: &mut Causes) {
    const FIELD: &str = "metadata.labels";
    for (key, value) in texts(metadata, "labels") {
        if let Some(why) = names::qualified_name(key) {
            causes.push(Cause::invalid(FIELD, format!("{key:?}"), &why));
        }
        if let Some(why) = names::label_value(value) {
            causes.push(Cause::invalid(FIELD, format!("{value:?}"), &why));
        }
        if matches!(key, GET_HISTORY | GET_TRASH) {
            let why = format!("{key} is for label selectors and cannot be stored");
            causes.push(Cause::forbidden(FIELD, &why));
        }
    }
}

fn check_annotations(metadata: &Map, causes: &mut Causes) {
    const FIELD: &str = "metadata.annotations";
    let mut bytes = 0;
    for (key, value) in texts(metadata, "annotations") {
        bytes += key.len() + value.len();
        // Annotation keys may be written in capitals: they are compared as if they were not.
        if let Some(why) = names::qualified_name(&key.to_lowercase()) {
            causes.push(Cause::invalid(FIELD, format!("{key:?}"), &why));
        }
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        causes.too_long(FIELD, ANNOTATIONS_BYTES_MAX);
    }
}

fn check_owners(metadata: &Map, causes: &mut Causes) {
    let owners = metadata.get("ownerReferences").and_then(Json::as_array);
    let owners = owners.unwrap_or_default();
    let mut controllers = Vec::new();
    for (index, owner) in owners.iter().enumerate() {
        let text = |field: &str| owner.get(field).and_then(Json::as_str).unwrap_or_default();
        for field in ["apiVersion", "kind", "name", "uid"] {
            if text(field).is_empty() {
                let path = format!("metadata.ownerReferences[{index}].{field}");
                causes.push(Cause::invalid(path, "\"\"", "must not be empty"));
            }
        }
        if owner.get("controller") == Some(&Json::Bool(true)) {
            controllers.push(text("name"));
        }
    }
    if let [first, second, ..] = controllers.as_slice() {
        let why = format!(
            "only one reference can have controller set to true, {first:?} and {second:?} have"
        );
        causes.push(Cause::forbidden("metadata.ownerReferences", &why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    fn causes(text: &str) -> Vec<String> {
        let root = parse(text.as_bytes()).unwrap().root;
        let metadata = root.as_object().unwrap();
        let mut causes = Causes::default();
        check(metadata, NameRule::Kubernetes, &mut causes);
        causes.into_vec().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn good_metadata_passes() {
        let text = r#"{"name":"a","labels":{"app":"x","e/f":""},"annotations":{"A.b/C":"any\ntext"},
            "finalizers":["example.com/wait"],
            "ownerReferences":[{"apiVersion":"v1","kind":"K","name":"n","uid":"u"}]}"#;
        assert_eq!(causes(text), Vec::<String>::new());
    }

    #[test]
    fn each_rule_has_its_words() {
        let starts = [
            (
                r#"{"name":"A"}"#,
                "metadata.name: Invalid value: \"A\": a lowercase RFC 1123",
            ),
            (
                r#"{"name":"a","labels":{"a b":""}}"#,
                "metadata.labels: Invalid value: \"a b\": name part must consist of",
            ),
            (
                r#"{"name":"a","labels":{"a":"b c"}}"#,
                "metadata.labels: Invalid value: \"b c\": a valid label must be",
            ),
            (
                r#"{"name":"a","labels":{"grafana.app/get-trash":"true"}}"#,
                "metadata.labels: Forbidden: grafana.app/get-trash is for label selectors",
            ),
            (
                r#"{"name":"a","finalizers":["a b"]}"#,
                "metadata.finalizers: Invalid value: \"a b\": name part",
            ),
            (
                r#"{"name":"a","ownerReferences":[{"apiVersion":"v1","kind":"K","name":"n"}]}"#,
                "metadata.ownerReferences[0].uid: Invalid value: \"\": must not be empty",
            ),
        ];
        for (text, start) in starts {
            let causes = causes(text);
            assert!(
                causes.len() == 1 && causes[0].starts_with(start),
                "{causes:?}"
            );
        }
        let large = "x".repeat(ANNOTATIONS_BYTES_MAX);
        let large = format!(r#"{{"name":"a","annotations":{{"a":"{large}"}}}}"#);
        assert_eq!(
            causes(&large),
            ["metadata.annotations: Too long: may not be more than 262144 bytes"]
        );
    }
}
