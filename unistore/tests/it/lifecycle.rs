//! Starts, stops and refusals of the binary.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use futures::TryStreamExt;
use kube::api::{PostParams, WatchParams};
use rustix::process::Signal;

use crate::support::client::{client, playlist, playlists};
use crate::support::kubectl::Kubectl;
use crate::support::server::{Server, run, unistore};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Runs the binary, which must fail with this code, and returns its only line of complaint.
fn fails(code: i32, arguments: &[&str]) -> String {
    let output = run(arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert!(
        !text.contains("backtrace") && !text.contains("panicked"),
        "{text}"
    );
    text
}

#[test]
fn the_first_start_makes_private_files_and_later_ones_keep_them() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start("memory:", &data);
    let text = &server.announcement;
    assert!(
        text.contains("serving memory: on https://127.0.0.1:"),
        "{text}"
    );
    assert!(text.contains("gone when the server stops"), "{text}");
    let next = format!(
        "kubectl --kubeconfig={} get playlists",
        server.kubeconfig().display()
    );
    assert!(text.contains(&next), "{text}");
    assert_eq!(mode(&data), 0o700);
    let secrets = [
        "ca.key",
        "server.key",
        "admin.token",
        "users.json",
        "unistore.kubeconfig",
    ];
    for secret in secrets {
        assert_eq!(mode(&data.join(secret)), 0o600, "{secret}");
    }
    let first = secrets.map(|secret| fs::read_to_string(data.join(secret)).unwrap());
    let address = server.url.strip_prefix("https://").unwrap().to_owned();
    server.stop();

    // The command that was printed still works after a restart in the same place.
    let server = Server::start_with("memory:", &data, &["--listen", &address]);
    let second = secrets.map(|secret| fs::read_to_string(data.join(secret)).unwrap());
    assert_eq!(first, second);
    let kubectl = Kubectl::any(&server);
    assert!(
        kubectl
            .succeed(&["get", "playlists"])
            .contains("No resources found")
    );
    server.stop();
}

#[test]
fn a_certificate_that_somebody_else_made_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let made = Server::start("memory:", &folder.path().join("made"));
    made.stop();
    let file = |name: &str| folder.path().join("made").join(name).display().to_string();
    let (cert, key) = (file("server.crt"), file("server.key"));
    let arguments = ["--tls-cert", cert.as_str(), "--tls-key", key.as_str()];
    let data = folder.path().join("data");
    let server = Server::start_with("memory:", &data, &arguments);
    assert!(!data.join("ca.key").exists());
    Kubectl::any(&server).succeed(&["get", "folders"]);
    server.stop();
}

#[test]
fn the_metrics_and_the_health_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start("memory:", folder.path());
    let kubectl = Kubectl::any(&server);
    kubectl.succeed(&["get", "playlists"]);
    let metrics = kubectl.succeed(&["get", "--raw", "/metrics"]);
    for name in [
        "unistore_build_info{",
        "apiserver_request_total{",
        "_bucket{",
    ] {
        assert!(metrics.contains(name), "{name} is missing in\n{metrics}");
    }
    let ready = kubectl.succeed(&["get", "--raw", "/readyz?verbose"]);
    assert!(ready.contains("[+]store ok"), "{ready}");
    server.stop();
}

#[test]
fn a_second_process_in_the_same_place_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start("memory:", &data);
    let data = data.display().to_string();
    let serve = [
        "serve",
        "--store",
        "memory:",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        &data,
    ];
    let text = fails(1, &serve);
    assert!(text.contains("is in use by another unistore"), "{text}");
    // The store is refused too, by whoever opens it.
    let other = folder.path().join("other").display().to_string();
    let address = server.url.strip_prefix("https://").unwrap();
    let serve = [
        "serve",
        "--store",
        "memory:",
        "--listen",
        address,
        "--data-dir",
        &other,
    ];
    let text = fails(1, &serve);
    assert!(text.contains(&format!("listen on {address}")), "{text}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_open_watches_and_keeps_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("redb:{}", folder.path().join("store").display());
    let server = Server::start(&store, &folder.path().join("data"));
    let api = playlists(client(&server).await);
    api.create(&PostParams::default(), &playlist("a", "x"))
        .await
        .unwrap();
    let mut watches = Vec::new();
    for _ in 0..20 {
        let mut watch = Box::pin(api.watch(&WatchParams::default(), "0").await.unwrap());
        assert!(watch.try_next().await.unwrap().is_some());
        watches.push(watch);
    }
    server.signal(Signal::TERM);
    let ended = tokio::task::spawn_blocking(move || server.wait());
    for mut watch in watches {
        // Until its end, whatever that looks like to the client.
        while let Ok(Some(_)) = watch.try_next().await {}
    }
    assert_eq!(ended.await.unwrap().code(), Some(0));
    let server = Server::start(&store, &folder.path().join("data"));
    let api = playlists(client(&server).await);
    assert!(api.get_opt("a").await.unwrap().is_some());
    server.stop();
}

#[test]
fn mistakes_are_told_in_one_line_that_helps() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let serve = |more: &[&str]| {
        let data = path("data");
        let serve = ["serve", "--data-dir", &data, "--listen", "127.0.0.1:0"];
        fails(1, &[&serve[..], more].concat())
    };
    let text = serve(&["--store", "leveldb:x"]);
    assert!(
        text.contains("no engine \"leveldb\" in this binary; it has "),
        "{text}"
    );
    assert!(text.contains("memory:"), "{text}");

    let config = path("wrong.ini");
    fs::write(&config, "[server]\nlisten = 127.0.0.1:0\nport = 1\n").unwrap();
    let text = serve(&["--store", "memory:", "--config", &config]);
    assert!(
        text.contains("wrong.ini:3: unknown key port in [server]"),
        "{text}"
    );
    let text = serve(&["--store", "memory:", "--config", &path("none.ini")]);
    assert!(
        text.contains("cannot read") && text.contains("none.ini"),
        "{text}"
    );

    fs::write(
        folder.path().join("store"),
        "not a store, but long enough to look like one",
    )
    .unwrap();
    let text = serve(&["--store", &format!("redb:{}", path("store"))]);
    assert!(text.contains("store"), "{text}");

    let text = fails(2, &["serve", "--listen", "somewhere"]);
    assert!(text.contains("--listen"), "{text}");
    let text = fails(
        2,
        &["check", "--store", &format!("redb:{}", path("missing"))],
    );
    assert!(text.contains("there is no store at"), "{text}");
    assert!(!folder.path().join("missing").exists());
    let (missing, other) = (
        format!("sled:{}", path("missing")),
        format!("sled:{}", path("other")),
    );
    fails(1, &["copy", &missing, &other]);
    assert!(!folder.path().join("other").exists());
    fails(2, &["diff", &missing, &other]);

    let mut serve = unistore(&["serve", "--store", "memory:"]);
    let output = serve
        .env("UNISTORE_SERVER_LISTN", "127.0.0.1:0")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains("unknown setting UNISTORE_SERVER_LISTN"),
        "{text}"
    );
}

#[test]
fn a_config_file_and_the_environment_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = folder.path().join("unistore.ini");
    let text = format!(
        "[server]\ndata_dir = {}\n[log]\nformat = json\n",
        data.display()
    );
    fs::write(&config, text).unwrap();
    let mut serve = unistore(&["serve", "--config"]);
    serve
        .arg(&config)
        .env("UNISTORE_SERVER_LISTEN", "127.0.0.1:0")
        .env("UNISTORE_STORAGE_STORE", "leveldb:x");
    let output = serve.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("no engine \"leveldb\""), "{text}");
    assert!(data.join("lock").exists());
}

#[test]
fn the_help_tells_what_there_is() {
    let output = run(&["--help"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["serve", "check", "copy", "diff", "memory:", "redb:PATH"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}
