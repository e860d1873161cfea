//! Standard output that nobody reads, or that is full.

use std::fs::File;
use std::process::{Output, Stdio};

use storage_core::{ResourceKey, StorageBackendExt};
use unistore::registry;

use crate::support::server::{succeed, unistore};
use crate::support::stores::Store;

const KIND: &str = "dashboards.dashboard.grafana.app";

/// Each of these ended in a panic, `migrate verify --repair` by an abort in the middle of it.
#[tokio::test(flavor = "multi_thread")]
async fn output_that_nobody_reads_ends_a_command_without_a_word() {
    let (legacy, unified) = (Store::new("sqlite"), Store::new("redb"));
    fill(&legacy.url).await;
    let stores = ["--legacy", &legacy.url, "--store", &unified.url];
    succeed(&[&["migrate", "promote", KIND, "--to", "2"], &stores[..]].concat());
    let copy = legacy.folder.path().join("copy.sqlite");
    let copy = format!("sqlite:{}", copy.display());
    for (code, arguments) in [
        (2, &["check", "--store", &legacy.url][..]),
        (2, &["diff", &legacy.url, &unified.url]),
        (
            2,
            &[&["migrate", "verify", KIND, "--repair"], &stores[..]].concat(),
        ),
        (2, &[&["migrate", "status"], &stores[..]].concat()),
        (1, &["copy", &legacy.url, &copy]),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = with_stdout(arguments, writer.into());
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(
            !told.contains("panicked") && !told.contains("error:"),
            "{arguments:?}: {told}"
        );
    }
    // The repair came to its end.
    succeed(&[&["migrate", "verify", KIND], &stores[..]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_is_not_taken_is_an_error() {
    let store = Store::new("sqlite");
    fill(&store.url).await;
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = with_stdout(&["check", "--store", &store.url], full.into());
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    let start = "error: standard output cannot be written: No space left on device";
    assert!(told.contains(start), "{told}");
}

/// Makes a store with a few dashboards.
async fn fill(url: &str) {
    let store = registry::open(&url.parse().unwrap()).await.unwrap();
    for name in ["a", "b", "c"] {
        let key = ResourceKey::new("dashboard.grafana.app", "dashboards", "default", name);
        store.create(key.unwrap(), "{}".into()).await.unwrap();
    }
}

fn with_stdout(arguments: &[&str], stdout: Stdio) -> Output {
    let child = unistore(arguments)
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn();
    child.unwrap().wait_with_output().unwrap()
}
