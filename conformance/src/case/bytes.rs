use bytes::Bytes;
use storage_core::{ListQuery, Order, Precondition, Revision, Transaction};

use crate::step::{changes, commit, get, get_at, key, list, put, scope};
use crate::{Backend, Fixture};

/// Writes values and then deletes each with the same bytes as its record; checks every place that
/// shows them.
async fn round_trip(store: &Backend, values: &[Bytes]) {
    let mut written = Vec::new();
    for (number, value) in values.iter().enumerate() {
        let key = key(&format!("{number:04}"));
        let at = put(store, &key, value.clone()).await;
        assert_eq!(
            get(store, &key).await.unwrap().value,
            value,
            "value {number}"
        );
        written.push((key, at));
    }
    let live = list(store, ListQuery::live(scope())).await;
    assert!(live.iter().map(|item| &item.value).eq(values), "a list");
    for ((key, _), value) in written.iter().zip(values) {
        commit(
            store,
            Transaction::delete(key.clone(), Precondition::Present, value.clone()),
        )
        .await;
    }
    for ((key, at), value) in written.iter().zip(values) {
        assert_eq!(
            get_at(store, key, *at).await.unwrap().value,
            value,
            "an old value"
        );
    }
    let trash = list(store, ListQuery::trash(scope())).await;
    assert!(trash.iter().map(|item| &item.value).eq(values), "the trash");
    let history = list(store, ListQuery::history(scope(), Order::Ascending)).await;
    let twice = values.iter().flat_map(|value| [value, value]);
    assert!(
        history.iter().map(|item| &item.value).eq(twice),
        "the history"
    );
    let all = changes(store, scope(), Revision::ZERO).await;
    let (puts, deletes) = all.split_at(values.len());
    assert!(
        puts.iter().map(|change| &change.object.value).eq(values),
        "changes"
    );
    assert!(
        deletes.iter().map(|change| &change.object.value).eq(values),
        "deletion records"
    );
    let previous = deletes
        .iter()
        .map(|change| &change.previous.as_ref().unwrap().value);
    assert!(previous.eq(values), "previous values");
}

/// Every byte comes back unchanged: alone, and all together.
pub async fn every_byte_comes_back(t: Fixture) {
    let store = t.open().await;
    let mut values: Vec<Bytes> = (0..=255).map(|byte| Bytes::from(vec![byte])).collect();
    values.push((0..=255).collect());
    values.push((0..=255).rev().cycle().take(70_000).collect());
    round_trip(&store, &values).await;
}

/// An empty value is a value.
pub async fn an_empty_value_is_a_value(t: Fixture) {
    let store = t.open().await;
    round_trip(&store, &[Bytes::new(), "not empty".into(), Bytes::new()]).await;
}

/// Text that databases like to touch comes back as it was: JSON with zeros, other encodings,
/// quotes, trailing spaces and line ends.
pub async fn text_is_not_touched(t: Fixture) {
    let store = t.open().await;
    let values: [&[u8]; 16] = [
        br#"{"a":"\u0000","a":"twice", "n": 1.0e0 }"#,
        "{\"emoji\":\"\u{1f600}\",\"combining\":\"e\u{301}\"}".as_bytes(),
        b"\xff\xfe\xfd not utf-8",
        b"\xed\xa0\x80 a lone surrogate",
        b"\0",
        b"\0trailing\0\0",
        b"trailing spaces   ",
        b"   ",
        b"'; DROP TABLE resource; --",
        br#"\x00\\ \' \" %s %% $1 ? :name"#,
        b"line\r\nends\r",
        b"\xef\xbb\xbfbyte order mark",
        b"null",
        b"NaN",
        b"12345678901234567890.10",
        b"\\xdeadbeef",
    ];
    round_trip(&store, &values.map(Bytes::from_static)).await;
}

/// Values around the sizes at which stores change their ways: pages, overflow, compression.
pub async fn sizes_around_page_borders_come_back(t: Fixture) {
    let store = t.open().await;
    let mut values = Vec::new();
    for border in [128, 1_024, 2_048, 4_096, 8_192, 16_384, 65_536, 1 << 20] {
        for size in [border - 1, border, border + 1] {
            values.push((0..size).map(|n| (n * 31 % 251) as u8).collect());
        }
    }
    round_trip(&store, &values).await;
}

/// A value that shrinks, grows and becomes empty is always the last one written.
pub async fn values_change_size(t: Fixture) {
    let store = t.open().await;
    let mut written = Vec::new();
    for size in [10, 100_000, 0, 1, 1_000_000, 5, 0, 70_000] {
        let value = Bytes::from(vec![size as u8; size]);
        let at = put(&store, &key("a"), value.clone()).await;
        assert!(get(&store, &key("a")).await.unwrap().value == value);
        written.push((at, value));
    }
    for (at, value) in written {
        assert!(get_at(&store, &key("a"), at).await.unwrap().value == value);
    }
}
