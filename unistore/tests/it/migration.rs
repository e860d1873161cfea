//! Kinds on their way from one store to another, with kubectl as the client and as the tool of the
//! operator, and with the commands of the binary.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::dashboards::{assert_same, create_all};
use crate::support::kubectl::Kubectl;
use crate::support::server::{Server, run, send, succeed, unistore};
use crate::support::stores::{Store, engines};

const KIND: &str = "dashboards.dashboard.grafana.app";

/// Both stores, and the server between them.
struct Walk {
    legacy: Store,
    unified: Store,
    server: Server,
    kubectl: Kubectl,
    /// What the dashboards hold.
    expected: BTreeMap<String, Value>,
}

#[test]
fn dashboards_walk_from_sqlite_through_every_mode_and_back() {
    walk_from("sqlite");
}

#[test]
fn dashboards_walk_from_postgres_through_every_mode_and_back() {
    walk_from("postgres");
}

fn walk_from(engine: &str) {
    if !engines().iter().any(|have| have == engine) {
        return;
    }
    let mut walk = Walk::start(engine, "redb");
    walk.up();
    walk.down();
    let (legacy, unified) = (walk.legacy, walk.unified);
    walk.server.stop();
    succeed(&["check", "--store", &legacy.url]);
    succeed(&["check", "--store", &unified.url]);
    // Without the dual writer the store that was left at first serves what it has to.
    let server = Server::start(&legacy.url, &legacy.data());
    assert_same(&Kubectl::any(&server), &walk.expected);
    server.stop();
}

impl Walk {
    fn start(legacy: &str, unified: &str) -> Self {
        let (legacy, unified) = (Store::new(legacy), Store::new(unified));
        let server = serve(&legacy, &unified);
        let kubectl = Kubectl::any(&server);
        let expected = create_all(&kubectl, legacy.folder.path());
        Self {
            legacy,
            unified,
            server,
            kubectl,
            expected,
        }
    }

    /// From 0 to 5, as an operator with kubectl.
    fn up(&mut self) {
        self.is_used_and_restarted(0);
        for (to, why) in [(3, "change to mode 2 first"), (4, "change to mode 2 first")] {
            self.refuses(to, why);
        }
        self.patch(1);
        self.is_used_and_restarted(1);
        self.patch(2);
        self.is_used_and_restarted(2);
        self.refuses(3, "complete a sync in this mode");
        self.sync("first");
        self.is_equal();
        self.patch(3);
        self.is_used_and_restarted(3);
        self.is_equal();
        self.patch(4);
        self.is_used_and_restarted(4);
        self.patch(5);
        self.is_used_and_restarted(5);
    }

    /// From 5 to 0, with the commands of the binary.
    fn down(&mut self) {
        assert_eq!(self.migrate(0, &["rollback", KIND])["to"], 4);
        self.is_used_and_restarted(4);
        let refused = self.migrate(1, &["rollback", KIND])["refused"].clone();
        assert_eq!((&refused["from"], &refused["to"]), (&json!(4), &json!(3)));
        assert_eq!(refused["gate"], "reverseSync");
        assert!(refused["how"].as_str().unwrap().contains("run a sync"));
        let synced = self.migrate(0, &["sync", KIND]);
        assert_eq!(synced["direction"], "unified to legacy");
        self.is_equal();
        // What is written between the sync and the way back is carried over by the change.
        self.write(40);
        for to in [3, 2, 1, 0] {
            assert_eq!(self.migrate(0, &["rollback", KIND])["to"], to);
            self.is_used_and_restarted(to);
            if to >= 2 {
                self.is_equal();
            }
        }
    }

    /// Writes, restarts the server and reads everything: the mode stays, and so does what it wrote.
    fn is_used_and_restarted(&mut self, mode: u8) {
        self.write(mode);
        self.restart();
        assert_eq!(self.status()["mode"], mode);
        assert_same(&self.kubectl, &self.expected);
    }

    /// Stops the server and starts it again where it was, so that kubectl need not learn it anew.
    fn restart(&mut self) {
        let address = self.server.url.strip_prefix("https://").unwrap().to_owned();
        self.server.stop_in_place();
        let arguments = ["--legacy", &self.legacy.url, "--listen", &address];
        self.server = Server::start_with(&self.unified.url, &self.unified.data(), &arguments);
    }

    /// Changes one dashboard, deletes one and creates one.
    fn write(&mut self, step: u8) {
        let (changed, deleted) = {
            let mut names = self.expected.keys().cloned();
            (names.next().unwrap(), names.next_back().unwrap())
        };
        let title = format!("as of step {step}, {}", self.expected.len());
        let patch = json!({"spec": {"title": title}}).to_string();
        let arguments = ["patch", "dashboard", &changed, "--type=merge", "-p", &patch];
        self.kubectl.succeed(&arguments);
        self.expected.get_mut(&changed).unwrap()["title"] = title.into();
        self.kubectl.succeed(&["delete", "dashboard", &deleted]);
        let spec = self.expected.remove(&deleted).unwrap();
        let name = format!("zz-{deleted}");
        let manifest = json!({"apiVersion": "dashboard.grafana.app/v1beta1", "kind": "Dashboard",
            "metadata": {"name": name}, "spec": spec});
        let file = self.legacy.folder.path().join("created.json");
        std::fs::write(&file, manifest.to_string()).unwrap();
        self.kubectl
            .succeed(&["create", "-f", file.to_str().unwrap()]);
        self.expected.insert(name, spec);
    }

    fn status(&self) -> Value {
        self.kubectl
            .json(&["get", "storagemigration", KIND, "-o", "json"])["status"]
            .clone()
    }

    fn patch(&self, mode: u8) {
        let patch = json!({"spec": {"mode": mode}}).to_string();
        let arguments = [
            "patch",
            "storagemigration",
            KIND,
            "--type=merge",
            "-p",
            &patch,
        ];
        self.kubectl.succeed(&arguments);
        assert_eq!(self.status()["mode"], mode);
    }

    fn refuses(&self, mode: u8, why: &str) {
        let before = self.status();
        let patch = json!({"spec": {"mode": mode}}).to_string();
        let arguments = [
            "patch",
            "storagemigration",
            KIND,
            "--type=merge",
            "-p",
            &patch,
        ];
        let output = self.kubectl.run(&arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        let start = format!(
            "Error from server (Conflict): mode {} to {mode} is refused, the sync gate is shut: {why}",
            before["mode"]
        );
        assert!(text.starts_with(&start), "{text}");
        assert_eq!(self.status(), before, "a refusal leaves no trace");
    }

    /// Syncs with kubectl alone.
    fn sync(&self, request: &str) {
        let patch = json!({"spec": {"syncRequest": request}}).to_string();
        let patch = ["patch", "sm", KIND, "--type=merge", "-p", &patch];
        self.kubectl.succeed(&patch);
        let complete = "--for=jsonpath={.status.work.state}=Complete";
        self.kubectl
            .succeed(&["wait", "sm", KIND, complete, "--timeout=60s"]);
        self.kubectl.succeed(&[
            "wait",
            "sm",
            KIND,
            "--for=condition=Synced",
            "--timeout=60s",
        ]);
        let work = &self.status()["work"];
        assert_eq!(
            (&work["task"], &work["request"]),
            (&json!("Sync"), &json!(request))
        );
        assert_eq!(work["synced"]["complete"], true);
    }

    /// Both stores hold the same.
    fn is_equal(&self) {
        let found = self.migrate(0, &["verify", KIND]);
        assert_eq!(found["compared"], self.expected.len());
        assert_eq!(found["differences"], json!([]));
    }

    /// Runs `unistore migrate` through the server, which must end with this code.
    fn migrate(&self, code: i32, arguments: &[&str]) -> Value {
        let data = self.unified.data().display().to_string();
        let through = ["--data-dir", &data, "-o", "json"];
        let arguments = [&["migrate"], arguments, &through[..]].concat();
        let output = run(&arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn serve(legacy: &Store, unified: &Store) -> Server {
    Server::start_with(&unified.url, &unified.data(), &["--legacy", &legacy.url])
}

#[test]
fn a_watch_sees_each_mode() {
    let (legacy, unified) = (Store::new("sqlite"), Store::new("redb"));
    let server = serve(&legacy, &unified);
    let kubectl = Kubectl::any(&server);
    let arguments = ["get", "storagemigration", KIND, "--watch", "--no-headers"];
    let mut watch = kubectl.command(&arguments);
    let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    for mode in 0..=2_u8 {
        if mode > 0 {
            let data = unified.data().display().to_string();
            let told = succeed(&["migrate", "promote", "dashboards", "--data-dir", &data]);
            assert_eq!(
                told,
                format!("{KIND} went from mode {} to mode {mode}\n", mode - 1)
            );
        }
        let shown = mode.to_string();
        let mut cells = Vec::new();
        while cells.get(1) != Some(&shown) {
            let line = lines.next().unwrap().unwrap();
            cells = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(cells[0], KIND);
        }
    }
    watch.kill().unwrap();
    watch.wait().unwrap();
    server.stop();
}

#[test]
fn migrations_are_neither_made_nor_deleted() {
    let (legacy, unified) = (Store::new("sqlite"), Store::new("redb"));
    let server = serve(&legacy, &unified);
    let kubectl = Kubectl::any(&server);
    let listed = kubectl.json(&["get", "sm", "-o", "json"]);
    assert_eq!(listed["items"].as_array().unwrap().len(), 3);
    for arguments in [
        &["delete", "sm", KIND][..],
        &[
            "patch",
            "sm",
            KIND,
            "--type=merge",
            "-p",
            r#"{"spec":{"mode":6}}"#,
        ],
        &[
            "patch",
            "sm",
            "x.y",
            "--type=merge",
            "-p",
            r#"{"spec":{"mode":1}}"#,
        ],
    ] {
        assert!(!kubectl.run(arguments).status.success(), "{arguments:?}");
    }
    // What a client says of the status does not count.
    let lie = r#"{"status":{"mode":5}}"#;
    kubectl.succeed(&["patch", "sm", KIND, "--type=merge", "-p", lie]);
    assert_eq!(
        kubectl.json(&["get", "sm", KIND, "-o", "json"])["status"]["mode"],
        0
    );
    let explained = kubectl.succeed(&["explain", "sm.spec.acceptLoss"]);
    assert!(explained.contains("lose what was written"), "{explained}");
    server.stop();
    // A server with one store has no migrations.
    let server = Server::start(&legacy.url, &legacy.data());
    assert!(!Kubectl::any(&server).run(&["get", "sm"]).status.success());
    server.stop();
}

/// Either store alone, or both the wrong way round, would show clients the wrong objects.
#[test]
fn a_store_of_a_migration_is_not_used_as_another() {
    let (legacy, unified) = (Store::new("sqlite"), Store::new("redb"));
    serve(&legacy, &unified).stop();
    let swapped = ["serve", "--legacy", &unified.url, "--store", &legacy.url];
    assert!(complaint(&swapped).contains("swapped?"));
    let stores = ["--legacy", &legacy.url, "--store", &unified.url];
    let promote = |kind: &str, to: &str| {
        succeed(&[&["migrate", "promote", kind, "--to", to], &stores[..]].concat());
    };
    promote("dashboards", "2");
    for store in [&legacy, &unified] {
        let text = complaint(&["serve", "--store", &store.url]);
        assert!(
            text.contains("dashboards.dashboard.grafana.app is in mode 2"),
            "{text}"
        );
    }
    for kind in ["dashboards", "folders", "playlists"] {
        promote(kind, "5");
    }
    let text = complaint(&["serve", "--store", &legacy.url]);
    assert!(text.contains("alone it would miss writes"), "{text}");
    Server::start(&unified.url, &unified.data()).stop();
}

#[test]
fn the_commands_work_on_stores_that_no_server_has() {
    let (legacy, unified) = (Store::new("sqlite"), Store::new("redb"));
    let stores = ["--legacy", &legacy.url, "--store", &unified.url];
    let migrate = |arguments: &[&str]| {
        let json = ["-o", "json"];
        let arguments = [&["migrate"], arguments, &stores[..], &json[..]].concat();
        let output = run(&arguments);
        let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code().unwrap(), value)
    };
    // A legacy store that is not there is a mistyped one, and is not made.
    assert_eq!(migrate(&["status"]).0, 2);
    let path = legacy.url.split_once(':').unwrap().1;
    assert!(!Path::new(path).exists());
    Server::start(&legacy.url, &legacy.data()).stop();
    let (code, all) = migrate(&["status"]);
    assert_eq!((code, all.as_array().unwrap().len()), (0, 3));
    assert_eq!(migrate(&["promote", KIND, "--to", "2"]).1["to"], 2);
    assert_eq!(migrate(&["promote", KIND]).1["refused"]["gate"], "sync");
    assert_eq!(migrate(&["promote", KIND]).0, 1);
    assert_eq!(migrate(&["promote", KIND, "--skip-sync"]).1["to"], 3);
    assert_eq!(migrate(&["promote", KIND, "--to", "2"]).0, 2);
    assert_eq!(migrate(&["promote", KIND, "--to", "5"]).1["to"], 5);
    let (code, refused) = migrate(&["rollback", KIND, "--to", "2"]);
    assert_eq!(
        (code, &refused["refused"]["gate"]),
        (1, &json!("reverseSync"))
    );
    let (code, changed) = migrate(&["rollback", KIND, "--to", "2", "--accept-loss"]);
    assert_eq!((code, &changed["to"]), (0, &json!(2)));

    // A store that a server has for itself is not opened twice; the way is told.
    let server = serve(&legacy, &unified);
    let output = run(&[&["migrate", "status"], &stores[..]].concat());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("--data-dir"), "{text}");
    server.stop();
    let data = unified.data().display().to_string();
    let output = run(&["migrate", "status", "--data-dir", &data]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("cannot reach 127.0.0.1:"), "{text}");
}

#[test]
fn the_configuration_raises_modes_and_its_errors_are_told() {
    let (legacy, unified) = (Store::new("sqlite"), Store::new("redb"));
    let file = legacy.folder.path().join("unistore.ini");
    let config = file.to_str().unwrap();
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    let with = ["--legacy", legacy.url.as_str(), "--config", config];

    write(&format!("[unified_storage.{KIND}]\ndualWriterMode = 2\n"));
    let start = || Server::start_with(&unified.url, &unified.data(), &with);
    let server = start();
    let kubectl = Kubectl::any(&server);
    let status = |kubectl: &Kubectl| {
        let object = kubectl.json(&["get", "sm", KIND, "-o", "json"]);
        let status = &object["status"];
        (
            status["mode"].clone(),
            status["configuredMode"].clone(),
            status.clone(),
        )
    };
    assert_eq!(status(&kubectl).0, 2);
    server.stop();

    // Less than what is in force, and more than the gate lets through, is told and not done.
    for (asked, why) in [(1, "the stored mode is the truth"), (3, "complete a sync")] {
        write(&format!(
            "[unified_storage.{KIND}]\ndualWriterMode = {asked}\n"
        ));
        let server = start();
        let (mode, configured, status) = status(&Kubectl::any(&server));
        assert_eq!((mode, configured), (json!(2), json!(asked)));
        let conditions = status["conditions"].as_array().unwrap();
        let configured = conditions
            .iter()
            .find(|c| c["type"] == "Configured")
            .unwrap();
        assert_eq!(configured["status"], "False");
        if asked > 2 {
            assert!(configured["message"].as_str().unwrap().contains(why));
        }
        server.stop();
        let log = std::fs::read_to_string(unified.data().join("test.log")).unwrap();
        assert!(log.contains("the configured mode is not in force"), "{log}");
        assert!(log.contains(why), "{log}");
    }

    // A variable goes before the file.
    let variable = "UNISTORE_UNIFIED_STORAGE_DASHBOARDS_DASHBOARD_GRAFANA_APP_DUALWRITERMODE";
    let mut command = unistore(&["migrate", "status", KIND, "-o", "json", "--config", config]);
    command
        .env(variable, "5")
        .env("UNISTORE_LEGACY", &legacy.url)
        .env("UNISTORE_STORAGE_STORE", &unified.url);
    let output = command.output().unwrap();
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["configuredMode"], 5);

    write(&format!("\n[unified_storage.{KIND}]\ndualWriterMode = 9\n"));
    let serve = ["serve", "--store", &unified.url];
    let text = complaint(&[&serve[..], &with[..]].concat());
    assert!(
        text.contains(&format!(
            "{config}:3: [unified_storage.{KIND}] dualWriterMode: "
        )) && text.contains("0 to 5 are allowed"),
        "{text}"
    );
    write("[unified_storage]\nskip_data_sync = true\n");
    let text = complaint(&["serve", "--store", &unified.url, "--config", config]);
    assert!(
        text.contains("name the one to move away from with --legacy"),
        "{text}"
    );
    write("");
    let same = ["serve", "--store", &unified.url, "--legacy", &unified.url];
    assert!(complaint(&same).contains("are the same store"));
}

/// Ctrl-C ended the command without a word, and without giving up what it held.
#[test]
fn a_command_that_is_interrupted_says_what_becomes_of_its_order() {
    let (legacy, unified) = (Store::new("sqlite"), Store::new("redb"));
    let server = serve(&legacy, &unified);
    let address = server.url.strip_prefix("https://").unwrap().to_owned();
    server.stop();
    // In the server's place somebody who never answers.
    let silent = TcpListener::bind(&address).unwrap();
    let data = unified.data().display().to_string();
    let mut command = unistore(&["migrate", "sync", KIND, "--data-dir", &data]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let told = thread::spawn(move || {
        let mut told = String::new();
        stderr.read_to_string(&mut told).unwrap();
        // Should the command have ended before it asked, nobody else would.
        let _ = TcpStream::connect(address);
        told
    });
    let _asked = silent.accept().unwrap();
    send(child.id(), Signal::INT);
    let status = child.wait().unwrap();
    let told = told.join().unwrap();
    assert_eq!(status.code(), Some(2), "{status}: {told}");
    let expected = "error: interrupted: the server goes on with what it was asked for; \
        `unistore migrate status` tells how far it is\n";
    assert_eq!(told, expected);
}

/// Runs the binary, which must fail, and returns why.
fn complaint(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let data = data_dir(folder.path());
    let output = run(&[arguments, &["--data-dir", &data]].concat());
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn data_dir(folder: &Path) -> String {
    folder.join("data").display().to_string()
}

#[test]
fn both_stores_are_watched_over() {
    let (legacy, unified) = (Store::new("sqlite"), Store::new("redb"));
    let server = serve(&legacy, &unified);
    let kubectl = Kubectl::any(&server);
    let ready = kubectl.succeed(&["get", "--raw", "/readyz?verbose"]);
    assert!(
        ready.contains("[+]store ok") && ready.contains("[+]legacy ok"),
        "{ready}"
    );
    let data = unified.data().display().to_string();
    let through = ["--data-dir", data.as_str()];
    succeed(&[&["migrate", "promote", KIND, "--to", "2"], &through[..]].concat());
    succeed(&[&["migrate", "sync", KIND], &through[..]].concat());
    kubectl.succeed(&["get", "dashboards"]);
    let metrics = kubectl.succeed(&["get", "--raw", "/metrics"]);
    for name in [
        "dual_writer_requests_total{",
        "dual_writer_sync_duration_seconds_bucket{",
        "dual_writer_sync_success_total{",
        "dual_writer_mode_transitions_total{",
        "dual_writer_current_mode{",
        "unistore_storage_requests_total{operation=\"commit\",result=\"ok\",store=\"legacy\"}",
    ] {
        assert!(metrics.contains(name), "{name} is missing in\n{metrics}");
    }
    server.stop();
}
