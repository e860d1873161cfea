//! Real dashboards through a real kubectl: created, edited, watched, deleted, brought back.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use kube::api::PostParams;
use kube::core::Request;
use serde_json::{Value, json};

use crate::support::client::client;
use crate::support::kubectl::Kubectl;
use crate::support::server::{Server, run, succeed};
use crate::support::stores::{Store, engines};

const COUNT: usize = 41;

/// Where dashboards are.
const DASHBOARDS: &str = "/apis/dashboard.grafana.app/v1beta1/namespaces/default/dashboards";

/// Dashboards that are edited one by one.
const EDITED: [&str; 3] = ["apiserver", "nodes", "k8s-views-global"];

#[test]
fn dashboards_live_and_come_back_on_every_engine() {
    for engine in engines() {
        println!("on {engine}");
        let store = Store::new(&engine);
        let server = Server::start(&store.url, &store.data());
        lives_and_comes_back(&server, store.folder.path());
        server.stop();
        succeed(&["check", "--store", &store.url]);
    }
}

#[test]
fn dashboards_are_copied_from_engine_to_engine_and_back() {
    let first = Store::new(&engines()[0]);
    let server = Server::start(&first.url, &first.data());
    let kubectl = Kubectl::any(&server);
    create_all(&kubectl, first.folder.path());
    kubectl.succeed(&["label", "dashboards", "--all", "touched=yes"]);
    kubectl.succeed(&["delete", "dashboards", "nodes", "proxy"]);
    server.stop();
    let round: Vec<_> = engines()
        .into_iter()
        .skip(1)
        .chain([first.engine.clone()])
        .collect();
    let mut copies = vec![first];
    for engine in round {
        let target = Store::new(&engine);
        let source = &copies[copies.len() - 1];
        let told = succeed(&["copy", &source.url, &target.url]);
        assert!(told.contains("copied "), "{told}");
        copies.push(target);
    }
    let (first, last) = (&copies[0], &copies[copies.len() - 1]);
    for copy in &copies[1..] {
        assert_eq!(succeed(&["diff", &first.url, &copy.url]), "no difference\n");
        succeed(&["check", "--store", &copy.url]);
    }
    // The last copy is served as if nothing had happened, and then differs.
    let server = Server::start(&last.url, &last.data());
    let kubectl = Kubectl::any(&server);
    assert_eq!(names(&kubectl, &["dashboards"]).len(), COUNT - 2);
    assert_eq!(
        names(
            &kubectl,
            &["dashboards", "-l", "grafana.app/get-trash=true"]
        )
        .len(),
        2
    );
    kubectl.succeed(&["label", "dashboard", "kubelet", "touched-"]);
    server.stop();
    let output = run(&["diff", &first.url, &last.url]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("dashboards/default/kubelet: object has different values"),
        "{text}"
    );
}

fn lives_and_comes_back(server: &Server, folder: &Path) {
    let kubectl = &Kubectl::any(server);
    let watching = Watching::start(kubectl);
    let originals = create_all(kubectl, folder);
    assert_same(kubectl, &originals);

    // An editor that replaces the title, as a person would.
    for name in EDITED {
        let mut edit = kubectl.command(&["edit", "dashboard", name]);
        edit.env(
            "KUBE_EDITOR",
            "sed -i 's/^  title: .*/  title: Edited by hand/'",
        );
        let output = edit.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(&format!("{name} edited")), "{text}{output:?}");
        let edited = kubectl.json(&["get", "dashboard", name, "-o", "json"]);
        assert_eq!(edited["spec"]["title"], "Edited by hand");
        assert_eq!(edited["metadata"]["generation"], 2);
    }
    for (name, revisions) in [(EDITED[0], 2), ("proxy", 1)] {
        let versions = history(kubectl, name);
        assert_eq!(versions.len(), revisions, "{name}: {versions:?}");
        assert!(versions.is_sorted_by(|a, b| a > b), "{versions:?}");
    }

    kubectl.succeed(&["delete", "dashboards", "--all"]);
    assert_eq!(names(kubectl, &["dashboards"]), Vec::<String>::new());

    let expected: Vec<_> = originals.keys().cloned().collect();
    assert_eq!(trash(kubectl), expected);

    restore_all(server, &expected);
    let mut restored = originals;
    for name in EDITED {
        restored.get_mut(name).unwrap()["title"] = json!("Edited by hand");
    }
    assert_same(kubectl, &restored);
    assert_eq!(trash(kubectl), Vec::<String>::new());

    // A restored object starts a history of its own.
    assert_eq!(history(kubectl, EDITED[0]).len(), 1);
    watching.saw(&[
        ("ADDED", 2 * COUNT),
        ("MODIFIED", EDITED.len()),
        ("DELETED", COUNT),
    ]);
}

/// Returns the versions in an object's history, as listed.
fn history(kubectl: &Kubectl, name: &str) -> Vec<u64> {
    let name = format!("metadata.name={name}");
    let select = [
        "-l",
        "grafana.app/get-history=true",
        "--field-selector",
        &name,
    ];
    let list = kubectl.json(&[&["get", "dashboards", "-o", "json"], &select[..]].concat());
    let version = |object: &Value| {
        let version = object["metadata"]["resourceVersion"].as_str();
        version.unwrap().parse().unwrap()
    };
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(version)
        .collect()
}

/// Creates all dashboards with one command and returns what each holds.
pub(crate) fn create_all(kubectl: &Kubectl, folder: &Path) -> BTreeMap<String, Value> {
    let manifests = folder.join("manifests");
    std::fs::create_dir_all(&manifests).unwrap();
    let mut originals = BTreeMap::new();
    for path in files() {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let spec: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let manifest = json!({
            "apiVersion": "dashboard.grafana.app/v1beta1",
            "kind": "Dashboard",
            "metadata": {"name": name},
            "spec": spec,
        });
        let file = manifests.join(path.file_name().unwrap());
        std::fs::write(file, manifest.to_string()).unwrap();
        originals.insert(name, spec);
    }
    assert_eq!(originals.len(), COUNT);
    let created = kubectl.succeed(&["create", "-f", manifests.to_str().unwrap()]);
    assert_eq!(
        created
            .lines()
            .filter(|line| line.ends_with(" created"))
            .count(),
        COUNT
    );
    originals
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dashboards");
    let entries = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect()
}

pub(crate) fn assert_same(kubectl: &Kubectl, expected: &BTreeMap<String, Value>) {
    let list = kubectl.json(&["get", "dashboards", "-o", "json"]);
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), expected.len());
    for item in items {
        let name = item["metadata"]["name"].as_str().unwrap();
        assert_eq!(normal(&item["spec"]), normal(&expected[name]), "{name}");
    }
}

/// kubectl reads and writes numbers by Go's rules, so `1.0` and `1` are one number here.
fn normal(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(normal).collect(),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(key, value)| (key.clone(), normal(value)));
            Value::Object(fields.collect())
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

fn names(kubectl: &Kubectl, what: &[&str]) -> Vec<String> {
    let list = kubectl.json(&[&["get"], what, &["-o", "json"]].concat());
    let items = list["items"].as_array().unwrap();
    let name = |item: &Value| item["metadata"]["name"].as_str().unwrap().to_owned();
    let mut names: Vec<_> = items.iter().map(name).collect();
    names.sort();
    names
}

/// Returns the names in the trash, but for the one that only told that a watch was on.
fn trash(kubectl: &Kubectl) -> Vec<String> {
    let mut names = names(kubectl, &["dashboards", "-l", "grafana.app/get-trash=true"]);
    names.retain(|name| name != FIRST);
    names
}

/// Takes objects out of the trash over one connection: a kubectl for each takes most of a minute.
fn restore_all(server: &Server, names: &[String]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = client(server).await;
        for name in names {
            let path = format!("{DASHBOARDS}/{name}/restore");
            let request = Request::new(path)
                .create(&PostParams::default(), Vec::new())
                .unwrap();
            let restored: Value = client.request(request).await.unwrap();
            assert_eq!(restored["metadata"]["name"], name.as_str());
        }
    });
}

/// An object that is there when a watch begins.
const FIRST: &str = "first";

/// A `kubectl get --watch` that runs beside the test.
struct Watching {
    child: std::process::Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Watching {
    fn start(kubectl: &Kubectl) -> Self {
        // With an object that is there already, the first line says that the watch is on.
        let first = json!({
            "apiVersion": "dashboard.grafana.app/v1beta1",
            "kind": "Dashboard",
            "metadata": {"name": FIRST},
            "spec": {"title": "first"},
        });
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("first.json");
        std::fs::write(&file, first.to_string()).unwrap();
        kubectl.succeed(&["create", "-f", file.to_str().unwrap()]);
        let arguments = [
            "get",
            "dashboards",
            "--watch",
            "--output-watch-events",
            "--no-headers",
        ];
        let mut command = kubectl.command(&arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.next().unwrap().unwrap().contains(FIRST));
        kubectl.succeed(&["delete", "dashboard", FIRST]);
        assert!(lines.next().unwrap().unwrap().starts_with("DELETED"));
        Self { child, lines }
    }

    /// Reads as many events as there must be and compares them.
    fn saw(mut self, expected: &[(&str, usize)]) {
        let total: usize = expected.iter().map(|(_, count)| count).sum();
        let mut counts = BTreeMap::<String, usize>::new();
        for _ in 0..total {
            let line = self.lines.next().unwrap().unwrap();
            let event = line.split_whitespace().next().unwrap();
            *counts.entry(event.to_owned()).or_default() += 1;
        }
        for (event, count) in expected {
            assert_eq!(counts.get(*event), Some(count), "{event} in {counts:?}");
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
