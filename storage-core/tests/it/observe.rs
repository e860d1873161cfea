use std::io::Write;
use std::sync::Arc;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use parking_lot::Mutex;
use storage_core::layer::{ChangeCache, GroupCommit, Observe, observe};
use storage_core::{
    ChangesQuery, Error, ErrorKind, ListQuery, Precondition, Revision, Scope, StorageBackend,
    StorageBackendExt, Transaction,
};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::double::Double;
use crate::fixture::{assert_pending, compact_all, key, puts, write};

// Recorders and subscribers of a test are those of its thread, so these tests have one thread.

fn recorder() -> (PrometheusRecorder, PrometheusHandle) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    (recorder, handle)
}

/// Returns the value of a line of the exposition.
#[track_caller]
fn value(handle: &PrometheusHandle, series: &str) -> f64 {
    let text = handle.render();
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    let line = line.unwrap_or_else(|| panic!("no {series} in\n{text}"));
    line.trim().parse().unwrap()
}

#[tokio::test(flavor = "current_thread")]
async fn calls_are_counted_by_operation_and_result() {
    let (recorder, handle) = recorder();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let backend = Observe::named(Double::new(), "legacy");
    let absent = |name: &str| Transaction::put(key("things", name), Precondition::Absent, "v");
    backend
        .commit(vec![absent("a"), absent("b"), absent("a")])
        .await
        .unwrap();
    let head = r#"unistore_storage_head_revision{store="legacy"}"#;
    assert_eq!(value(&handle, head) as i64, 2);
    backend
        .commit(vec![absent("b"), absent("c")])
        .await
        .unwrap();
    backend
        .commit(vec![puts("things", &["x", "x"])])
        .await
        .unwrap_err();
    backend.get(&key("things", "a"), None).await.unwrap();
    backend.list(&ListQuery::live(Scope::All)).await.unwrap();
    backend
        .list(&ListQuery::live(Scope::All).limit(2))
        .await
        .unwrap();
    backend.stats(&Scope::All).await.unwrap();
    let changes = ChangesQuery::new(Scope::All, Revision::ZERO);
    backend.changes(&changes).await.unwrap();
    compact_all(&backend).await;
    backend.changes(&changes).await.unwrap_err();
    let requests = |operation: &str, result: &str| {
        let labels = format!(r#"{{operation="{operation}",result="{result}",store="legacy"}}"#);
        let requests = value(&handle, &format!("unistore_storage_requests_total{labels}"));
        let duration = "unistore_storage_request_duration_seconds_count";
        assert_eq!(requests, value(&handle, &format!("{duration}{labels}")));
        requests as u64
    };
    assert_eq!(requests("commit", "ok"), 2);
    assert_eq!(requests("commit", "invalid"), 1);
    assert_eq!(requests("get", "ok"), 1);
    assert_eq!(requests("list", "ok"), 2);
    assert_eq!(requests("stats", "ok"), 1);
    assert_eq!(requests("changes", "ok"), 1);
    assert_eq!(requests("changes", "expired"), 1);
    assert_eq!(requests("compact", "ok"), 1);
    for (series, expected) in [
        (r#"unistore_storage_conflicts_total{store="legacy"}"#, 2),
        (
            r#"unistore_storage_commit_transactions_sum{store="legacy"}"#,
            6,
        ),
        (
            r#"unistore_storage_commit_transactions_count{store="legacy"}"#,
            3,
        ),
        (
            r#"unistore_storage_items_total{operation="list",store="legacy"}"#,
            5,
        ),
        (
            r#"unistore_storage_items_total{operation="changes",store="legacy"}"#,
            3,
        ),
        (
            r#"unistore_storage_items_total{operation="stats",store="legacy"}"#,
            1,
        ),
        (
            r#"unistore_storage_compacted_total{record="changes",store="legacy"}"#,
            3,
        ),
        (r#"unistore_storage_head_revision{store="legacy"}"#, 3),
        (r#"unistore_storage_horizon_revision{store="legacy"}"#, 3),
        (
            r#"unistore_storage_requests_in_flight{operation="commit",store="legacy"}"#,
            0,
        ),
    ] {
        assert_eq!(value(&handle, series) as i64, expected, "{series}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn every_kind_of_error_has_a_result_of_its_own() {
    let (recorder, handle) = recorder();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let store = Double::new();
    let backend = Observe::new(Arc::clone(&store));
    for kind in ErrorKind::ALL {
        store.refuse_commits(move |_| Some(Error::new(kind, "commit", "no")));
        backend.commit(vec![]).await.unwrap_err();
    }
    let text = handle.render();
    let series = r#"unistore_storage_requests_total{operation="commit",result=""#;
    let results = text.lines().filter(|line| line.starts_with(series));
    assert!(
        results
            .clone()
            .all(|line| line.ends_with(r#",store="memory"} 1"#))
    );
    assert_eq!(results.count(), ErrorKind::ALL.len());
}

#[tokio::test(flavor = "current_thread")]
async fn a_call_that_its_caller_dropped_is_counted() {
    let (recorder, handle) = recorder();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let store = Double::new();
    let backend = Observe::new(Arc::clone(&store));
    store.hold();
    let mut commit = backend.commit(vec![]);
    assert_pending(&mut commit);
    let in_flight = r#"unistore_storage_requests_in_flight{operation="commit",store="memory"}"#;
    assert_eq!(value(&handle, in_flight) as i64, 1);
    drop(commit);
    assert_eq!(value(&handle, in_flight) as i64, 0);
    let dropped =
        r#"unistore_storage_requests_total{operation="commit",result="dropped",store="memory"}"#;
    assert_eq!(value(&handle, dropped) as i64, 1);
}

#[tokio::test(flavor = "current_thread")]
async fn the_documented_metrics_are_those_that_exist() {
    let (recorder, handle) = recorder();
    let _installed = metrics::set_default_local_recorder(&recorder);
    observe::describe();
    let stack = Observe::new(ChangeCache::new(GroupCommit::new(Double::new())));
    let raced = Transaction::put(key("things", "a"), Precondition::Present, "v");
    stack.commit_one(raced).await.unwrap();
    write(&stack, "things", "a").await;
    let changes = ChangesQuery::new(Scope::All, Revision::ZERO);
    stack.changes(&changes).await.unwrap();
    stack.list(&ListQuery::live(Scope::All)).await.unwrap();
    compact_all(&stack).await;
    let text = handle.render();
    let mut exported: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let mut described: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next())
        .collect();
    let source = include_str!("../../src/layer/observe.rs");
    let mut documented: Vec<_> = source
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `")?.split('`').next())
        .collect();
    for names in [&mut exported, &mut described, &mut documented] {
        names.sort_unstable();
    }
    assert_eq!(exported, documented);
    assert_eq!(described, documented);
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_failure_is_logged_in_the_span_of_its_call_without_values() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(log.clone())
        .with_span_events(FmtSpan::CLOSE)
        .finish();
    let _installed = tracing::subscriber::set_default(subscriber);
    let store = Double::new();
    let backend = Observe::named(Arc::clone(&store), "unified");
    let secret = Transaction::put(key("things", "a"), Precondition::Any, "hunter2");
    store.refuse_commits(|_| Some(Error::new(ErrorKind::Unavailable, "commit", "no power")));
    backend.commit(vec![secret]).await.unwrap_err();
    let future = Some(Revision::new(9));
    backend.get(&key("things", "a"), future).await.unwrap_err();
    let text = log.text();
    let lines: Vec<_> = text.lines().collect();
    let [failed, failed_end, refused, refused_end] = lines[..] else {
        panic!("not two events and two ends:\n{text}");
    };
    assert!(
        failed_end.contains(r#"result="unavailable""#),
        "{failed_end}"
    );
    assert!(
        refused_end.contains(r#"result="future_revision""#),
        "{refused_end}"
    );
    for part in [
        "WARN storage{",
        r#"operation="commit""#,
        r#"store="unified""#,
        "about=1 transactions",
        "the store failed",
        "no power",
    ] {
        assert!(failed.contains(part), "{part:?} is not in {failed}");
    }
    for part in [
        "DEBUG storage{",
        r#"operation="get""#,
        "about=test.example/things/default/a",
    ] {
        assert!(refused.contains(part), "{part:?} is not in {refused}");
    }
    assert!(!text.contains("hunter2"));
}
