//! The store as bytes, and stores of other versions.

use storage_core::{
    ErrorKind, Op, OperationId, Precondition, ResourceKey, Revision, StorageBackend, Timestamp,
    Transaction, Write,
};

use crate::rows::Rows;

fn key(name: &str) -> ResourceKey {
    ResourceKey::new("apps", "pods", "default", name).unwrap()
}

/// Every table has a row in it.
async fn write(store: &dyn StorageBackend) {
    let stamped = |transaction: Transaction| Transaction {
        time: Some(Timestamp::from_millis(1_700_000_000_000)),
        ..transaction.operation(OperationId(9))
    };
    let any = Precondition::Any;
    let control = Write {
        key: ResourceKey::internal("journal", "", "x").unwrap(),
        precondition: any,
        op: Op::Put("control".into()),
    };
    let transactions = vec![
        stamped(Transaction::put(key("a"), any, "one")),
        stamped(Transaction::put(key("b"), any, "two").and(control)),
        stamped(Transaction::put(key("a"), any, "three")),
        stamped(Transaction::delete(key("b"), any, "gone")),
        Transaction::raise(Revision::new(300)),
    ];
    store.commit(transactions).await.unwrap();
}

/// A change of any byte here is a new format: it needs a new version and a way from the old one.
const GOLDEN: &str = include_str!("golden.txt");

#[tokio::test(flavor = "multi_thread")]
async fn a_store_has_its_golden_bytes() {
    let rows = Rows::default();
    write(&rows.open().unwrap()).await;
    let lines: Vec<String> = rows
        .all()
        .iter()
        .map(|(key, value)| format!("{} = {}\n", key.escape_ascii(), hex(value)))
        .collect();
    assert_eq!(lines.concat(), GOLDEN, "\n{}", lines.concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_bytes_are_a_store() {
    let rows = Rows::default();
    for line in GOLDEN.lines() {
        let (key, value) = line.split_once(" = ").unwrap();
        rows.put(&unescape(key), unhex(value));
    }
    let store = rows.open().unwrap();
    let report = store.check().await.unwrap();
    assert!(report.is_clean(), "{:?}", report.disagreements);
    let counted = [
        report.objects,
        report.trash,
        report.history,
        report.internal,
    ];
    assert_eq!(counted, [1, 1, 2, 1]);
    let stored = store.get(&key("a"), None).await.unwrap().unwrap();
    assert_eq!(
        (stored.value.as_ref(), stored.revision),
        (&b"three"[..], Revision::new(3))
    );
    assert_eq!(*store.head().borrow(), Revision::new(300));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_format_is_refused() {
    let cases = [
        (
            "unistore-kv 2",
            ErrorKind::Unsupported,
            "use a newer unistore",
        ),
        (
            "unistore-kv 0",
            ErrorKind::Unsupported,
            "use an older unistore",
        ),
        ("unistore-kv x", ErrorKind::Corrupt, "cannot be read"),
        ("else", ErrorKind::Corrupt, "cannot be read"),
    ];
    for (row, kind, text) in cases {
        let rows = Rows::default();
        drop(rows.open().unwrap());
        rows.put(b"mformat", row);
        let error = rows.open().unwrap_err();
        assert_eq!(error.kind(), kind, "{row}");
        assert!(error.to_string().contains("rows:test"), "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_something_else_are_refused() {
    let rows = Rows::default();
    rows.put(b"hello", "world");
    let error = rows.open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        error.to_string(),
        "open store: rows:test is not a store of unistore"
    );
    assert_eq!(rows.all().len(), 1, "nothing was written");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.extend(unhex(&part[..2]));
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}
