use std::path::Path;

use proptest::prelude::*;
use resource::{Json, WriteOptions, json};
use serde_json::json as value;

use crate::support::{DASHBOARDS, World};

/// Wraps a text that is JSON into an object, so that it arrives as it is.
fn body(name: &str, spec: &str) -> String {
    format!(
        r#"{{"apiVersion":"dashboard.grafana.app/v1beta1","kind":"Dashboard",
        "metadata":{{"name":"{name}"}},"spec":{spec}}}"#
    )
}

async fn put_and_get(world: &World, name: &str, spec: &str) -> Json {
    let collection = world.collection(DASHBOARDS);
    let options = WriteOptions {
        field_validation: "Strict".into(),
        ..WriteOptions::default()
    };
    let body = body(name, spec);
    let written = world
        .objects
        .create(&collection, body.as_bytes(), &options)
        .await
        .unwrap();
    let target = collection.object(name).unwrap();
    let read = world
        .objects
        .get(&target, &Default::default())
        .await
        .unwrap();
    assert_eq!(read.to_json(), written.object.to_json());
    let root = json::parse(&read.to_json()).unwrap().root;
    root.get("spec").unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn real_dashboards_come_back_as_they_were() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../unistore/tests/data/dashboards");
    let world = World::new();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let read = put_and_get(&world, name, &text).await;
        // Equal as trees with each number's text, and equal as serde_json reads them.
        assert_eq!(read, json::parse(text.as_bytes()).unwrap().root, "{name}");
        let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read.to_value(), expected, "{name}");
        count += 1;
    }
    assert_eq!(count, 41);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_and_strings_come_back_as_they_were() {
    let world = World::new();
    let spec = concat!(
        r#"{"a":12345678901234567890123456789,"b":1.0,"c":1.10,"d":-0.0,"e":1E+2,"#,
        r#""f":18446744073709551615,"g":0.1000000000000000055511151231257827,"#,
        r#""h":"\u0000\"\\/ü😀\u2028","":{"":[]},"null":null}"#
    );
    let read = put_and_get(&world, "d", spec).await;
    let text = read.to_string();
    for part in [
        "12345678901234567890123456789,",
        "1.0,",
        "1.10,",
        "-0.0,",
        "1E+2,",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert_eq!(read, json::parse(spec.as_bytes()).unwrap().root);
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(value!(null)),
        any::<bool>().prop_map(|b| value!(b)),
        any::<i64>().prop_map(|n| value!(n)),
        (-1e300f64..1e300).prop_map(|n| value!(n)),
        any::<String>().prop_map(|s| value!(s)),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| value!(items)),
            prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(|map| value!(map)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_put_comes_back(
        spec in prop::collection::btree_map(any::<String>(), any_json(), 0..6),
        label in "[a-zA-Z0-9]{0,10}",
        note in any::<String>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let body = value!({
                "apiVersion": "dashboard.grafana.app/v1beta1", "kind": "Dashboard",
                "metadata": {"name": "d", "labels": {"l": label}, "annotations": {"n": note}},
                "spec": spec,
            });
            let created = world.create(&body).await.unwrap().object;
            // As trees: serde_json may read the last digit of a long float otherwise.
            let tree = |bytes: &[u8]| json::parse(bytes).unwrap().root;
            let (sent, read) = (tree(body.to_string().as_bytes()), tree(&created.to_json()));
            prop_assert_eq!(read.get("spec"), sent.get("spec"));
            let metadata = |root: &Json, field: &str| root.get("metadata")?.get(field).cloned();
            for field in ["labels", "annotations"] {
                prop_assert_eq!(metadata(&read, field), metadata(&sent, field));
            }
            prop_assert_eq!(metadata(&read, "resourceVersion"), Some("1".into()));
            let mut partial = Vec::new();
            created.write_partial_metadata(&mut partial).unwrap();
            let partial = tree(&partial);
            prop_assert_eq!(partial.get("metadata"), read.get("metadata"));
            prop_assert!(created.json_len() >= created.to_json().len());
            Ok(())
        })?;
    }
}
