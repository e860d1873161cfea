use resource::{Kind, KindScope};
use serde_json::{Map, Value, json};

use super::{meta, path, reference, schema};

/// Adds the paths of a kind.
pub(super) fn add(kind: &Kind, paths: &mut Map<String, Value>) {
    let root = format!("/{}", path(kind.group(), kind.version()));
    let plural = kind.plural();
    let collection = match kind.scope() {
        KindScope::Cluster => format!("{root}/{plural}"),
        KindScope::Namespaced => {
            let everywhere = json!({
                "get": read(kind, "list", "ForAllNamespaces", &list_parameters()),
                "parameters": []});
            paths.insert(format!("{root}/{plural}"), everywhere);
            format!("{root}/namespaces/{{namespace}}/{plural}")
        }
    };
    let object = format!("{collection}/{{name}}");
    paths.insert(collection, collection_operations(kind));
    paths.insert(format!("{object}/history"), history_operations(kind));
    paths.insert(format!("{object}/restore"), restore_operations(kind));
    paths.insert(object, object_operations(kind));
}

fn collection_operations(kind: &Kind) -> Value {
    json!({
        "get": read(kind, "list", "", &list_parameters()),
        "post": write(kind, "create", &["application/json"], &schema::name(kind)),
        "delete": delete(kind, "deletecollection", list_parameters()),
        "parameters": place(kind),
    })
}

fn object_operations(kind: &Kind) -> Value {
    let mut parameters = place(kind);
    parameters.push(path_parameter("name"));
    json!({
        "get": read(kind, "get", "", &[query("resourceVersion", "string")]),
        "put": write(kind, "update", &["application/json"], &schema::name(kind)),
        // Strategic merge patches are not taken, and so clients choose a merge patch.
        "patch": write(kind, "patch", kind.patch_types(), meta::PATCH),
        "delete": delete(kind, "delete", vec![]),
        "parameters": parameters,
    })
}

fn history_operations(kind: &Kind) -> Value {
    let mut parameters = place(kind);
    parameters.push(path_parameter("name"));
    let list = reference(&schema::list_name(kind));
    let get = json!({
        "description": "List the revisions of an object that are kept, newest first.",
        "operationId": format!("list{}History", kind.kind()),
        "tags": [tag(kind)],
        "parameters": [query("limit", "integer"), query("continue", "string")],
        "responses": responses(&[("200", &list)]),
    });
    json!({"get": get, "parameters": parameters})
}

fn restore_operations(kind: &Kind) -> Value {
    let mut parameters = place(kind);
    parameters.push(path_parameter("name"));
    let object = reference(&schema::name(kind));
    let post = json!({
        "description": "Bring a deleted object, or an old revision of a live one, back.",
        "operationId": format!("restore{}", kind.kind()),
        "tags": [tag(kind)],
        "parameters": [query("resourceVersion", "string"), query("dryRun", "string")],
        "responses": responses(&[("200", &object), ("201", &object)]),
    });
    json!({"post": post, "parameters": parameters})
}

fn read(kind: &Kind, action: &str, suffix: &str, parameters: &[Value]) -> Value {
    let answer = match action {
        "list" => reference(&schema::list_name(kind)),
        _ => reference(&schema::name(kind)),
    };
    let mut operation = operation(kind, action, suffix, parameters);
    operation["responses"] = responses(&[("200", &answer)]);
    operation
}

fn write(kind: &Kind, action: &str, media_types: &[&str], body: &str) -> Value {
    // Clients that find `fieldValidation` leave the validation to the server.
    let parameters = ["dryRun", "fieldManager", "fieldValidation"];
    let parameters = parameters.map(|name| query(name, "string")).to_vec();
    let mut operation = operation(kind, action, "", &parameters);
    let content: Map<String, Value> = media_types
        .iter()
        .map(|media_type| {
            (
                String::from(*media_type),
                json!({"schema": reference(body)}),
            )
        })
        .collect();
    operation["requestBody"] = json!({"required": true, "content": content});
    let object = reference(&schema::name(kind));
    operation["responses"] = match action {
        "create" => responses(&[("201", &object)]),
        _ => responses(&[("200", &object)]),
    };
    operation
}

fn delete(kind: &Kind, action: &str, more: Vec<Value>) -> Value {
    let mut parameters = vec![
        query("dryRun", "string"),
        query("gracePeriodSeconds", "integer"),
        query("propagationPolicy", "string"),
    ];
    parameters.extend(more);
    let mut operation = operation(kind, action, "", &parameters);
    operation["requestBody"] = json!({"content":
        {"application/json": {"schema": reference(meta::DELETE_OPTIONS)}}});
    operation["responses"] = responses(&[("200", &reference(meta::STATUS))]);
    operation
}

fn operation(kind: &Kind, action: &str, suffix: &str, parameters: &[Value]) -> Value {
    let verb = match action {
        "get" => "read",
        "update" => "replace",
        "deletecollection" => "deleteCollection",
        other => other,
    };
    let scope = match kind.scope() {
        KindScope::Namespaced if suffix.is_empty() => "Namespaced",
        KindScope::Namespaced | KindScope::Cluster => "",
    };
    let word = kind.kind();
    let action = match action {
        "create" => "post",
        "update" => "put",
        other => other,
    };
    json!({
        "description": format!("{verb} {word} objects"),
        "operationId": format!("{verb}{scope}{word}{suffix}"),
        "tags": [tag(kind)],
        "parameters": parameters,
        "x-kubernetes-action": action,
        meta::GVK: schema::gvk(kind),
    })
}

fn responses(answers: &[(&str, &Value)]) -> Value {
    let answers: Map<String, Value> = answers
        .iter()
        .map(|(code, schema)| {
            let answer = json!({"description": "OK",
                "content": {"application/json": {"schema": schema}}});
            (String::from(*code), answer)
        })
        .collect();
    answers.into()
}

fn tag(kind: &Kind) -> String {
    let mut tag = String::new();
    for word in kind.group().split('.') {
        let mut letters = word.chars();
        tag.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        tag.push_str(letters.as_str());
    }
    format!("{tag}_{}", kind.version())
}

fn place(kind: &Kind) -> Vec<Value> {
    match kind.scope() {
        KindScope::Namespaced => vec![path_parameter("namespace")],
        KindScope::Cluster => vec![],
    }
}

fn path_parameter(name: &str) -> Value {
    json!({"name": name, "in": "path", "required": true,
        "schema": {"type": "string", "uniqueItems": true}})
}

fn query(name: &str, kind: &str) -> Value {
    json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}})
}

fn list_parameters() -> Vec<Value> {
    [
        ("allowWatchBookmarks", "boolean"),
        ("continue", "string"),
        ("fieldSelector", "string"),
        ("labelSelector", "string"),
        ("limit", "integer"),
        ("resourceVersion", "string"),
        ("resourceVersionMatch", "string"),
        ("sendInitialEvents", "boolean"),
        ("timeoutSeconds", "integer"),
        ("watch", "boolean"),
    ]
    .map(|(name, kind)| query(name, kind))
    .to_vec()
}
