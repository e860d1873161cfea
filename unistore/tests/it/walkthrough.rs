//! The walk-through of the README, with real kubectl programs.

use std::path::Path;

use crate::support::kubectl::{Kubectl, programs};
use crate::support::server::Server;
use crate::support::stores::{Store, engines};

const PLAYLIST: &str = "\
apiVersion: playlist.grafana.app/v0alpha1
kind: Playlist
metadata:
  generateName: x
  labels:
    foo: bar
  annotations:
    grafana.app/slug: \"slugger\"
    grafana.app/updatedBy: \"updater\"
spec:
  title: Playlist with auto generated UID
  interval: 5m
  items:
  - type: dashboard_by_tag
    value: panel-tests
  - type: dashboard_by_uid
    value: vmie2cmWz
";

const FOLDER: &str = "\
apiVersion: folder.grafana.app/v1beta1
kind: Folder
metadata:
  generateName: x
spec:
  title: Example folder
";

#[test]
fn every_kubectl_on_the_first_engine() {
    let engine = &engines()[0];
    for program in programs() {
        walk_through(engine, &program);
    }
}

#[test]
fn one_kubectl_on_every_other_engine() {
    for engine in engines().iter().skip(1) {
        walk_through(engine, &programs()[0]);
    }
}

fn walk_through(engine: &str, program: &Path) {
    println!("{} on {engine}", program.display());
    let store = Store::new(engine);
    let server = Server::start(&store.url, &store.data());
    let kubectl = Kubectl::new(program, &server);
    let manifest = |name: &str, text: &str| {
        let path = store.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };

    let empty = "No resources found in default namespace.\n";
    assert_eq!(kubectl.succeed(&["get", "playlist"]), empty);
    assert_eq!(kubectl.succeed(&["get", "folder"]), empty);

    let file = manifest("playlist-generate.yaml", PLAYLIST);
    let created = kubectl.succeed(&["create", "-f", &file]);
    let name = created
        .strip_prefix("playlist.playlist.grafana.app/")
        .and_then(|rest| rest.strip_suffix(" created\n"))
        .unwrap_or_else(|| panic!("{created}"));
    assert!(name.len() > 1 && name.starts_with('x'), "{name}");

    let row = |title: &str| {
        let table = kubectl.succeed(&["get", "playlist"]);
        let rows: Vec<Vec<&str>> = table.lines().map(cells).collect();
        assert_eq!(
            rows[0],
            ["NAME", "TITLE", "INTERVAL", "CREATED AT"],
            "{table}"
        );
        assert_eq!(rows.len(), 2, "{table}");
        assert_eq!(rows[1][..3], [name, title, "5m"], "{table}");
        let created: jiff::Timestamp = rows[1][3].parse().unwrap();
        assert_eq!(created.subsec_nanosecond(), 0);
    };
    row("Playlist with auto generated UID");

    let file = manifest(
        "patch.yaml",
        &PLAYLIST.replace("Playlist with auto", "Now with"),
    );
    let kind = "playlist.playlist.grafana.app";
    // kubectl cannot tell how to merge what it has no types for, so it must be told.
    let patch = [
        "patch",
        "playlist",
        name,
        "--type=merge",
        "--patch-file",
        &file,
    ];
    assert_eq!(kubectl.succeed(&patch), format!("{kind}/{name} patched\n"));
    row("Now with generated UID");
    let again = kubectl.succeed(&patch);
    assert_eq!(again, format!("{kind}/{name} patched (no change)\n"));

    let file = manifest("folder-generate.yaml", FOLDER);
    let created = kubectl.succeed(&["create", "-f", &file]);
    assert!(
        created.starts_with("folder.folder.grafana.app/x"),
        "{created}"
    );
    let folders = kubectl.json(&["get", "folders", "-o", "json"]);
    assert_eq!(folders["items"][0]["spec"]["title"], "Example folder");

    let gone = kubectl.succeed(&["delete", "playlist", name]);
    assert!(
        gone.contains(&format!("{kind} \"{name}\" deleted")),
        "{gone}"
    );
    assert_eq!(kubectl.succeed(&["get", "playlist"]), empty);
    server.stop();
}

/// Splits a row of a table where there are two spaces or more.
fn cells(row: &str) -> Vec<&str> {
    let parts = row.split("  ").map(str::trim);
    parts.filter(|part| !part.is_empty()).collect()
}
