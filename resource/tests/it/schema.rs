//! What a schema refuses, in the words that clients know, and what it fills in.

use std::sync::Arc;

use resource::{Kind, WriteOptions};
use serde_json::{Value, json};

use crate::support::{World, value};

fn world_with(spec: &Value) -> (World, Arc<Kind>) {
    let world = World::new();
    let manifest = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Cluster",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema":
                {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}}],
        },
    });
    world.objects.kinds().apply(&manifest).unwrap();
    let kind = world
        .objects
        .kinds()
        .snapshot()
        .find("example.com", "v1", "things")
        .unwrap();
    (world, kind)
}

async fn create(world: &World, kind: &Arc<Kind>, spec: &Value) -> Result<Value, Vec<String>> {
    let body = json!({"apiVersion": "example.com/v1", "kind": "Thing",
        "metadata": {"generateName": "t"}, "spec": spec})
    .to_string();
    let collection = kind.collection(None).unwrap();
    let options = WriteOptions::default();
    match world
        .objects
        .create(&collection, body.as_bytes(), &options)
        .await
    {
        Ok(written) => Ok(value(&written.object)["spec"].clone()),
        Err(failure) => Err(failure
            .details()
            .causes
            .iter()
            .map(ToString::to_string)
            .collect()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_checked() {
    let (world, kind) = world_with(&json!({
        "type": "object",
        "properties": {
            "n": {"type": "integer", "minimum": 1, "maximum": 10},
            "x": {"type": "number", "minimum": 0, "exclusiveMinimum": true, "multipleOf": 0.5},
            "s": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^a"},
            "e": {"type": "string", "enum": ["a", "b"]},
            "l": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "string"}},
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "map": {"type": "array", "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["k"],
                "items": {"type": "object", "required": ["k"],
                    "properties": {"k": {"type": "string"}, "v": {"type": "integer"}}}},
            "m": {"type": "object", "minProperties": 1, "maxProperties": 2,
                "additionalProperties": {"type": "boolean"}},
            "p": {"x-kubernetes-int-or-string": true},
            "o": {"type": "string", "nullable": true},
            "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
                "not": {"required": ["c"]}},
        },
    }));
    for (spec, causes) in [
        (
            json!({"n": 1, "x": 1.5, "s": "ab", "e": "a", "l": ["x"], "o": null}),
            vec![],
        ),
        (
            json!({"p": 5, "m": {"x": true}, "any": {"b": 1, "z": 2}}),
            vec![],
        ),
        (json!({"n": 2.0}), vec![]),
        (
            json!({"n": "x"}),
            vec![
                "spec.n: Invalid value: \"string\": spec.n in body must be of type integer: \"string\"",
            ],
        ),
        (
            json!({"n": 1.5}),
            vec![
                "spec.n: Invalid value: \"number\": spec.n in body must be of type integer: \"number\"",
            ],
        ),
        (
            json!({"n": null}),
            vec![
                "spec.n: Invalid value: \"null\": spec.n in body must be of type integer: \"null\"",
            ],
        ),
        (
            json!({"n": 0}),
            vec!["spec.n: Invalid value: 0: spec.n in body should be greater than or equal to 1"],
        ),
        (
            json!({"n": 11}),
            vec!["spec.n: Invalid value: 11: spec.n in body should be less than or equal to 10"],
        ),
        (
            json!({"x": 0}),
            vec!["spec.x: Invalid value: 0: spec.x in body should be greater than 0"],
        ),
        (
            json!({"x": 0.7}),
            vec!["spec.x: Invalid value: 0.7: spec.x in body should be a multiple of 0.5"],
        ),
        (
            json!({"s": "b"}),
            vec![
                "spec.s: Invalid value: \"b\": spec.s in body should be at least 2 chars long",
                "spec.s: Invalid value: \"b\": spec.s in body should match '^a'",
            ],
        ),
        (
            json!({"s": "aaaaa"}),
            vec!["spec.s: Too long: may not be more than 4 bytes"],
        ),
        (
            json!({"e": "z"}),
            vec!["spec.e: Unsupported value: \"z\": supported values: \"a\", \"b\""],
        ),
        (
            json!({"l": []}),
            vec!["spec.l: Invalid value: []: spec.l in body should have at least 1 items"],
        ),
        (
            json!({"l": ["a", "b", "c"]}),
            vec!["spec.l: Too many: 3: must have at most 2 items"],
        ),
        (
            json!({"l": [1]}),
            vec![
                "spec.l[0]: Invalid value: \"integer\": spec.l[0] in body must be of type string: \"integer\"",
            ],
        ),
        (
            json!({"set": ["a", "b", "a"]}),
            vec!["spec.set[2]: Duplicate value: \"a\""],
        ),
        (
            json!({"map": [{"k": "a", "v": 1}, {"k": "a", "v": 2}, {}]}),
            vec![
                "spec.map[2].k: Required value",
                "spec.map[1]: Duplicate value: {\"k\":\"a\"}",
            ],
        ),
        (
            json!({"m": {"x": 1}}),
            vec![
                "spec.m.x: Invalid value: \"integer\": spec.m.x in body must be of type boolean: \"integer\"",
            ],
        ),
        (
            json!({"any": {"c": 1}}),
            vec![
                "spec.any: Invalid value: {\"c\":1}: \"spec.any\" must validate at least one schema (anyOf)",
                "spec.any: Invalid value: {\"c\":1}: \"spec.any\" must not validate the schema (not)",
            ],
        ),
    ] {
        let found = create(&world, &kind, &spec).await.err().unwrap_or_default();
        assert_eq!(found, causes, "{spec}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn defaults_fill_in_and_unknown_fields_go() {
    let (world, kind) = world_with(&json!({
        "type": "object",
        "properties": {
            "replicas": {"type": "integer", "default": 3},
            "maybe": {"type": "string", "nullable": true, "default": "d"},
            "inner": {"type": "object", "default": {},
                "properties": {"a": {"type": "string", "default": "x"}}},
            "list": {"type": "array", "items": {"type": "object",
                "properties": {"a": {"type": "integer", "default": 1}}}},
            "raw": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                "properties": {"known": {"type": "object",
                    "properties": {"a": {"type": "string"}}}}},
        },
    }));
    for (spec, stored) in [
        (
            json!({}),
            json!({"replicas": 3, "maybe": "d", "inner": {"a": "x"}}),
        ),
        (
            json!({"replicas": null, "maybe": null, "inner": {"b": 1}, "gone": 1}),
            json!({"replicas": 3, "maybe": null, "inner": {"a": "x"}}),
        ),
        (
            json!({"replicas": 1, "maybe": "m", "inner": {"a": "y"}, "list": [{}, {"a": 2, "b": 3}],
                "raw": {"x": {"y": 1}, "known": {"a": "s", "b": 1}}}),
            json!({"replicas": 1, "maybe": "m", "inner": {"a": "y"}, "list": [{"a": 1}, {"a": 2}],
                "raw": {"x": {"y": 1}, "known": {"a": "s"}}}),
        ),
    ] {
        assert_eq!(
            create(&world, &kind, &spec).await.unwrap(),
            stored,
            "{spec}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_scoped_objects_have_no_namespace() {
    let (world, kind) = world_with(&json!({"type": "object"}));
    assert!(kind.collection(Some("default")).is_err());
    let collection = kind.collection(None).unwrap();
    let body = json!({"apiVersion": "example.com/v1", "kind": "Thing",
        "metadata": {"name": "t", "namespace": "default"}})
    .to_string();
    let refused = world
        .objects
        .create(&collection, body.as_bytes(), &WriteOptions::default())
        .await;
    assert_eq!(
        refused.unwrap_err().message(),
        "Thing.example.com \"t\" is invalid: metadata.namespace: Forbidden: not allowed on this type"
    );
    create(&world, &kind, &json!({})).await.unwrap();
    let list = world
        .objects
        .list(&collection, &Default::default())
        .await
        .unwrap();
    assert_eq!(list.items.len(), 1);
    assert_eq!(list.items[0].namespace(), None);
}
