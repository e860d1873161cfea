use std::sync::Arc;

use bytes::Bytes;
use storage_core::limits::{INTERNAL_VALUE_BYTES_MAX, NAME_BYTES_MAX, VALUE_BYTES_MAX};
use storage_core::{
    ListQuery, Order, Precondition, ResourceKey, Scope, StorageBackend, StorageBackendExt,
    Transaction,
};

use crate::engines::{key, on_each_engine, open};
use crate::stores::Store;

on_each_engine! {
    names_are_not_confused
    values_come_back_as_they_went
}

/// Names that quoting, collations, padding or normalisation could change or take for equal.
fn names() -> Vec<String> {
    let long = "x".repeat(NAME_BYTES_MAX);
    let mut names: Vec<String> = [
        "a",
        "A",
        "a ",
        "a  ",
        " a",
        "á",
        "a\u{301}",
        "à",
        "ä",
        "ae",
        "æ",
        "ß",
        "ss",
        "SS",
        "ﬁ",
        "fi",
        "ı",
        "i",
        "I",
        "İ",
        "ǆ",
        "Ǆ",
        "e\u{301}",
        "é",
        "😀",
        "😁",
        "👩\u{200d}🚀",
        "\u{feff}a",
        "a\u{200b}",
        "\u{10ffff}",
        "\u{fffd}",
        "日本",
        "にほん",
        "ﾆﾎﾝ",
        "0",
        "00",
        "1e1",
        "10",
        "null",
        "NULL",
        "'",
        "''",
        "\"",
        "\\",
        "\\'",
        "\\\\",
        "`",
        "%",
        "_",
        "a%",
        "a_",
        "ab",
        "--",
        ";",
        "'; DROP TABLE resource; --",
        "$1",
        "?",
        ":a",
        "@a",
        "{}",
        "\\x00",
        "\\0",
        "E'a'",
        "x'61'",
        "0x61",
        "a.b",
        "a-b",
        "a!",
        "~",
        "\u{a0}",
        "\u{3000}",
    ]
    .map(String::from)
    .to_vec();
    names.push(long[1..].to_owned());
    names.push(format!("{}y", &long[1..]));
    names.push(long);
    names
}

async fn names_are_not_confused<S: Store>(store: Arc<S>) {
    let store = open(&*store).await;
    let mut keys: Vec<ResourceKey> = names().iter().map(|name| key(name, name)).collect();
    let creations = keys.iter().map(|key| {
        let value = key.name().as_bytes().to_vec();
        Transaction::put(key.clone(), Precondition::Absent, value)
    });
    let outcomes = store.commit(creations.collect()).await.unwrap();
    assert!(
        outcomes.iter().all(|o| o.revision().is_some()),
        "{outcomes:?}"
    );
    for key in &keys {
        let stored = store.get(key, None).await.unwrap().unwrap();
        assert_eq!(stored.key, *key);
        assert_eq!(stored.value, key.name().as_bytes());
        let scope = Scope::namespace(key.group(), key.resource(), key.namespace());
        let listed = store.list_all(ListQuery::live(scope)).await.unwrap();
        assert_eq!(listed, [stored], "the namespace of {key}");
    }
    keys.sort();
    let listed = store.list_all(ListQuery::live(Scope::All)).await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|item| item.key).collect();
    assert_eq!(listed, keys);
    let stats = store.stats(&Scope::All).await.unwrap();
    let namespaces: Vec<_> = stats.iter().map(|s| (&*s.namespace, s.count)).collect();
    let expected: Vec<_> = keys.iter().map(|key| (key.namespace(), 1)).collect();
    assert_eq!(namespaces, expected);
    delete_every_second(&*store, &keys).await;
}

async fn delete_every_second(store: &dyn StorageBackend, keys: &[ResourceKey]) {
    for key in keys.iter().step_by(2) {
        let current = store.get(key, None).await.unwrap().unwrap();
        store
            .delete(key.clone(), current.revision, Bytes::new())
            .await
            .unwrap();
    }
    let trash = store.list_all(ListQuery::trash(Scope::All)).await.unwrap();
    let trash: Vec<_> = trash.into_iter().map(|item| item.key).collect();
    let expected: Vec<_> = keys.iter().step_by(2).cloned().collect();
    assert_eq!(trash, expected);
    for (index, key) in keys.iter().enumerate() {
        let history = ListQuery::history(Scope::Object(key.clone()), Order::Ascending);
        let revisions = store.list_all(history).await.unwrap().len();
        assert_eq!(revisions, if index % 2 == 0 { 2 } else { 1 }, "{key}");
        let exists = store.get(key, None).await.unwrap().is_some();
        assert_eq!(exists, index % 2 == 1, "{key}");
    }
}

async fn values_come_back_as_they_went<S: Store>(store: Arc<S>) {
    let store = open(&*store).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let values = [
        Vec::new(),
        b"\0".to_vec(),
        b"{\"a\":\"\\u0000\"}".to_vec(),
        "{\"a\":\"\u{0}\u{feff}😀'\\\"\"}".into(),
        b"'; DROP TABLE resource_history; --".to_vec(),
        b"\\x00\\\\".to_vec(),
        b"\xff\xfe\x80".to_vec(),
        b" \t\r\n ".to_vec(),
        every_byte.repeat(300),
        vec![b' '; 65_536],
        every_byte.repeat(VALUE_BYTES_MAX / 256),
    ];
    for (index, value) in values.iter().enumerate() {
        let key = key("", &format!("value-{index}"));
        let value = Bytes::from(value.clone());
        let revision = store.create(key.clone(), value.clone()).await.unwrap();
        let stored = store.get(&key, None).await.unwrap().unwrap();
        assert!(stored.value == value, "value {index} was changed");
        let record = value.clone();
        let deleted = store.delete(key.clone(), revision, record).await.unwrap();
        let old = store.get(&key, Some(revision)).await.unwrap().unwrap();
        assert!(
            old.value == value,
            "value {index} was changed in the history"
        );
        let scope = Scope::Object(key.clone());
        let query = storage_core::ChangesQuery::new(scope, revision);
        let changes = store.changes(&query).await.unwrap();
        let deletion = &changes.changes[0];
        assert_eq!(deletion.object.revision, deleted);
        assert!(
            deletion.object.value == value,
            "deletion record {index} was changed"
        );
        let previous = deletion.previous.as_ref().unwrap();
        assert!(
            previous.value == value,
            "the value before {index} was changed"
        );
    }
    let largest = ResourceKey::internal("journal", "", "largest").unwrap();
    let value = Bytes::from(vec![0xa5; INTERNAL_VALUE_BYTES_MAX]);
    store.create(largest.clone(), value.clone()).await.unwrap();
    let stored = store.get(&largest, None).await.unwrap().unwrap();
    assert!(
        stored.value == value,
        "the largest control record was changed"
    );
}
