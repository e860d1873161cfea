//! Damaged rows: reads of them say so, others are served, and the check finds each.

use storage_core::{
    Error, ErrorKind, ListQuery, Order, Precondition, ResourceKey, Result, Scope, StorageBackend,
    StorageBackendExt, Transaction,
};

use crate::rows::Rows;

fn key(name: &str) -> ResourceKey {
    ResourceKey::new("", "pods", "default", name).unwrap()
}

/// Rows in every table, two lives of an object, control records.
async fn filled() -> Rows {
    let rows = Rows::default();
    let store = rows.open().unwrap();
    let any = Precondition::Any;
    let control = ResourceKey::internal("journal", "", "x").unwrap();
    let put = |name: &str, value: &'static str| Transaction::put(key(name), any, value);
    let delete = |name: &str| Transaction::delete(key(name), any, "gone");
    let steps = vec![
        put("a", "1"),
        put("a", "2"),
        put("b", "1"),
        delete("b"),
        put("b", "2"),
        put("b", "3"),
        put("c", "1"),
        put("c", "2"),
        delete("c"),
        Transaction::put(control, any, "control"),
    ];
    store.commit(steps).await.unwrap();
    let report = store.check().await.unwrap();
    assert!(report.is_clean(), "{:?}", report.disagreements);
    assert_eq!((report.objects, report.trash, report.changes), (2, 1, 9));
    rows
}

async fn disagreements(rows: &Rows) -> Vec<String> {
    let report = rows.open().unwrap().check().await.unwrap();
    assert_eq!(report.is_clean(), report.disagreements.is_empty());
    report
        .disagreements
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// The rows that say what the store is must be readable to open it at all.
fn is_needed_to_open(row_key: &[u8]) -> bool {
    row_key.starts_with(b"m")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_any_row_is_found() {
    let rows = filled().await;
    let mut looked_at = 0;
    for (row_key, value) in rows.all() {
        if is_needed_to_open(&row_key) {
            continue;
        }
        for at in [0, 1, 5, value.len() - 1] {
            let mut damaged = value.to_vec();
            damaged[at] ^= 4;
            rows.put(&row_key, damaged);
            let found = disagreements(&rows).await;
            let name = row_key.escape_ascii().to_string();
            assert!(found.iter().any(|d| d.contains(&name)), "{name}: {found:?}");
            rows.put(&row_key, value.clone());
            looked_at += 1;
        }
    }
    assert!(looked_at > 80, "{looked_at}");
    assert!(disagreements(&rows).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_row_is_found() {
    let rows = filled().await;
    for (row_key, value) in rows.all() {
        if is_needed_to_open(&row_key) || row_key.starts_with(b"i") {
            continue;
        }
        rows.remove(&row_key);
        let found = disagreements(&rows).await;
        assert!(!found.is_empty(), "{}", row_key.escape_ascii());
        rows.put(&row_key, value);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_in_the_place_of_another_is_found() {
    let rows = filled().await;
    let all = rows.all();
    for pair in all.windows(2) {
        let [(one, value), (other, other_value)] = pair else {
            unreachable!("windows of two");
        };
        if is_needed_to_open(one) || is_needed_to_open(other) {
            continue;
        }
        rows.put(one, other_value.clone());
        assert!(!disagreements(&rows).await.is_empty());
        rows.put(one, value.clone());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_belong_nowhere_are_found() {
    for stranger in [&b"a"[..], b"f", b"k", b"mother", b"p", b"z", b"\xff"] {
        let rows = filled().await;
        rows.put(stranger, "?");
        let found = disagreements(&rows).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(&stranger.escape_ascii().to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_told_and_the_others_are_served() {
    let rows = filled().await;
    let row_key = b"c\0pods\0default\0a\0";
    let all = rows.all();
    let (_, value) = all.iter().find(|(key, _)| key == row_key).unwrap();
    let mut damaged = value.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    rows.put(row_key, damaged);
    let store = rows.open().unwrap();
    is_corrupt(store.get(&key("a"), None).await);
    is_corrupt(store.list(&ListQuery::live(Scope::All)).await);
    is_corrupt(
        store
            .list(&ListQuery::history(Scope::All, Order::Ascending))
            .await,
    );
    let update = Transaction::put(key("a"), Precondition::Any, "3");
    is_corrupt(store.commit_one(update).await);
    let b = store.get(&key("b"), None).await.unwrap().unwrap();
    assert_eq!(b.value, "3");
    let other = Transaction::put(key("b"), Precondition::Any, "4");
    store.commit_one(other).await.unwrap();
}

fn is_corrupt<T: std::fmt::Debug>(answer: Result<T>) {
    let error: Error = answer.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert!(error.to_string().contains("default\\x00a"), "{error}");
}
