use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{PLAYLISTS, TestServer, playlist};

const MERGE: &str = "application/merge-patch+json";

#[tokio::test(flavor = "multi_thread")]
async fn a_life() {
    let server = TestServer::start().await;
    let path = format!("{PLAYLISTS}/one");
    let created = server
        .call(Method::POST, PLAYLISTS)
        .json(&playlist("one"))
        .send()
        .await;
    assert_eq!(created.header("cache-control"), "no-cache, private");
    let created = created.expect(StatusCode::CREATED);
    insta::assert_json_snapshot!(created);

    assert_eq!(server.get(&path).await.expect(StatusCode::OK), created);

    let mut changed = created.clone();
    changed["spec"]["title"] = "Two".into();
    let updated = server.call(Method::PUT, &path).json(&changed).send().await;
    let updated = updated.expect(StatusCode::OK);
    assert_eq!(updated["metadata"]["generation"], 2);

    // The revision that was read is no longer the newest.
    let stale = server.call(Method::PUT, &path).json(&changed).send().await;
    assert_eq!(
        stale.refused(409, "Conflict"),
        "Operation cannot be fulfilled on playlists.playlist.grafana.app \"one\": the object has \
         been modified; please apply your changes to the latest version and try again"
    );

    let patch = server
        .call(Method::PATCH, &path)
        .header("content-type", MERGE);
    let patched = patch.body(r#"{"spec":{"title":"Three"}}"#).send().await;
    assert_eq!(patched.expect(StatusCode::OK)["spec"]["title"], "Three");

    let patch = server.call(Method::PATCH, &path);
    let patch = patch.header("content-type", "application/json-patch+json");
    let patched = patch.body(r#"[{"op":"replace","path":"/spec/title","value":"Four"}]"#);
    assert_eq!(
        patched.send().await.expect(StatusCode::OK)["spec"]["title"],
        "Four"
    );

    let options = r#"{"propagationPolicy":"Background"}"#;
    let deleted = server
        .call(Method::DELETE, &path)
        .header("content-type", "application/json");
    let deleted = deleted.body(options).send().await.expect(StatusCode::OK);
    assert_eq!(
        deleted,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": {"name": "one", "group": "playlist.grafana.app", "kind": "playlists",
                "uid": created["metadata"]["uid"]},
            "code": 200})
    );
    let gone = server.get(&path).await;
    insta::assert_json_snapshot!(gone.json());
    gone.refused(404, "NotFound");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finalizer_keeps_an_object() {
    let server = TestServer::start().await;
    let mut object = playlist("kept");
    object["metadata"]["finalizers"] = json!(["example.com/keep"]);
    server
        .call(Method::POST, PLAYLISTS)
        .json(&object)
        .send()
        .await
        .expect(StatusCode::CREATED);
    let path = format!("{PLAYLISTS}/kept");
    let deleted = server
        .call(Method::DELETE, &path)
        .send()
        .await
        .expect(StatusCode::OK);
    assert_eq!(deleted["kind"], "Playlist");
    assert!(deleted["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(server.get(&path).await.code, 200);
    let patch = server
        .call(Method::PATCH, &path)
        .header("content-type", MERGE);
    patch
        .body(r#"{"metadata":{"finalizers":null}}"#)
        .send()
        .await
        .expect(StatusCode::OK);
    assert_eq!(server.get(&path).await.code, 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trash_and_the_history_give_back() {
    let server = TestServer::start().await;
    server.create("one").await;
    let path = format!("{PLAYLISTS}/one");
    let patch = server
        .call(Method::PATCH, &path)
        .header("content-type", MERGE);
    let second = patch
        .body(r#"{"spec":{"title":"Two"}}"#)
        .send()
        .await
        .expect(StatusCode::OK);
    server
        .call(Method::DELETE, &path)
        .send()
        .await
        .expect(StatusCode::OK);

    let history = server
        .get(&format!("{path}/history"))
        .await
        .expect(StatusCode::OK);
    assert_eq!(history["kind"], "PlaylistList");
    assert_eq!(history["items"].as_array().unwrap().len(), 3);

    let trash = format!("{PLAYLISTS}?labelSelector=grafana.app%2Fget-trash%3Dtrue");
    let trash = server.get(&trash).await.expect(StatusCode::OK);
    assert_eq!(trash["items"][0]["metadata"]["name"], "one");

    let restored = server
        .call(Method::POST, &format!("{path}/restore"))
        .send()
        .await;
    let restored = restored.expect(StatusCode::CREATED);
    assert_eq!(restored["spec"]["title"], "Two");
    assert_ne!(restored["metadata"]["uid"], second["metadata"]["uid"]);
    assert_eq!(server.get(&path).await.code, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_revision_comes_back() {
    let server = TestServer::start().await;
    let first = server.create("one").await;
    let revision = first["metadata"]["resourceVersion"].as_str().unwrap();
    let path = format!("{PLAYLISTS}/one");
    for (number, body) in [
        format!("{path}/restore?resourceVersion={revision}"),
        format!("{path}/restore"),
    ]
    .iter()
    .zip([Value::Null, json!({"resourceVersion": revision})])
    {
        let patch = server
            .call(Method::PATCH, &path)
            .header("content-type", MERGE);
        patch
            .body(r#"{"spec":{"title":"Two"}}"#)
            .send()
            .await
            .expect(StatusCode::OK);
        let mut call = server.call(Method::POST, number);
        if !body.is_null() {
            call = call.json(&body);
        }
        let restored = call.send().await.expect(StatusCode::OK);
        assert_eq!(restored["spec"]["title"], "The one");
    }
    let bad = server.call(Method::POST, &format!("{path}/restore?resourceVersion=x"));
    bad.send().await.refused(400, "BadRequest");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_is_deleted() {
    let server = TestServer::start().await;
    for name in ["a", "b", "c"] {
        server.create(name).await;
    }
    let selected = format!("{PLAYLISTS}?labelSelector=app%3Da&fieldSelector=metadata.name%21%3Db");
    let deleted = server
        .call(Method::DELETE, &selected)
        .send()
        .await
        .expect(StatusCode::OK);
    assert_eq!(deleted["kind"], "PlaylistList");
    assert_eq!(deleted["items"].as_array().unwrap().len(), 2);
    let left = server.get(PLAYLISTS).await.json();
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    assert_eq!(left["items"][0]["metadata"]["name"], "b");
    server.stop().await;
}

/// Preconditions in the query were not looked at, and the object was deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_has_its_preconditions_in_the_query_too() {
    let server = TestServer::start().await;
    let made = server.create("one").await;
    let path = format!("{PLAYLISTS}/one");
    for other in ["uid=other", "resourceVersion=999"] {
        let call = server.call(Method::DELETE, &format!("{path}?{other}"));
        call.send().await.refused(409, "Conflict");
    }
    let text = |field: &str| made["metadata"][field].as_str().unwrap();
    let (uid, version) = (text("uid"), text("resourceVersion"));
    let call = server.call(
        Method::DELETE,
        &format!("{path}?uid={uid}&resourceVersion={version}"),
    );
    call.send().await.expect(StatusCode::OK);
    server.stop().await;
}

/// A client whose name of a namespace was empty deleted what was in all of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_collection_of_all_namespaces_is_not_deleted() {
    let server = TestServer::start().await;
    server.create("one").await;
    let everywhere = PLAYLISTS.replace("/namespaces/default", "");
    let call = server.call(Method::DELETE, &everywhere);
    call.send().await.refused(405, "MethodNotAllowed");
    let left = server.get(&everywhere).await.json();
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    server.stop().await;
}

/// What a program calls itself was refused as the name of a manager, which nobody had chosen.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_may_call_itself_anything() {
    let server = TestServer::start().await;
    for (name, agent) in [("long", "x".repeat(200)), ("odd", "a\tb/1".to_owned())] {
        let call = server.call(Method::POST, PLAYLISTS);
        let call = call.header("user-agent", agent).json(&playlist(name));
        call.send().await.expect(StatusCode::CREATED);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_writes_nothing() {
    let server = TestServer::start().await;
    let before = server.head();
    let call = server.call(Method::POST, &format!("{PLAYLISTS}?dryRun=All"));
    let dry = call
        .json(&playlist("one"))
        .send()
        .await
        .expect(StatusCode::CREATED);
    assert!(dry["metadata"]["resourceVersion"].is_null());
    assert_eq!(server.head(), before);
    let call = server.call(Method::POST, &format!("{PLAYLISTS}?dryRun=Some"));
    call.json(&playlist("one"))
        .send()
        .await
        .refused(422, "Invalid");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_are_warned_of_or_refused() {
    let server = TestServer::start().await;
    let mut object = playlist("one");
    object["spec"]["nope"] = 1.into();
    let strict = server.call(Method::POST, &format!("{PLAYLISTS}?fieldValidation=Strict"));
    let message = strict.json(&object).send().await.refused(400, "BadRequest");
    assert!(
        message.contains("strict decoding error: unknown field \"spec.nope\""),
        "{message}"
    );
    let warn = server
        .call(Method::POST, PLAYLISTS)
        .json(&object)
        .send()
        .await;
    warn.expect(StatusCode::CREATED);
    assert_eq!(
        warn.header("warning"),
        "299 - \"unknown field \\\"spec.nope\\\"\""
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_have_a_type() {
    let server = TestServer::start().await;
    let body = playlist("one").to_string();
    // Python's client sends none.
    let none = server
        .call(Method::POST, PLAYLISTS)
        .body(body.clone())
        .send()
        .await;
    assert_eq!(none.code, 201);
    for media_type in [
        "application/vnd.kubernetes.protobuf",
        "application/cbor",
        "application/x-www-form-urlencoded",
        "text/plain",
    ] {
        let call = server
            .call(Method::POST, PLAYLISTS)
            .header("content-type", media_type);
        let message = call
            .body(body.clone())
            .send()
            .await
            .refused(415, "UnsupportedMediaType");
        assert_eq!(
            message,
            "the body of the request was in an unknown format - accepted media types include: \
             application/json"
        );
    }
    let path = format!("{PLAYLISTS}/one");
    for media_type in [
        "application/strategic-merge-patch+json",
        "application/json",
        "",
    ] {
        let call = server
            .call(Method::PATCH, &path)
            .header("content-type", media_type);
        let message = call
            .body("{}")
            .send()
            .await
            .refused(415, "UnsupportedMediaType");
        assert!(
            message.contains("application/merge-patch+json"),
            "{message}"
        );
        assert!(!message.contains("strategic"), "{message}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verbs_that_are_not_there() {
    let server = TestServer::start().await;
    let object = format!("{PLAYLISTS}/one");
    for (method, path, verb) in [
        (Method::POST, object.clone(), "create"),
        (Method::PUT, PLAYLISTS.to_owned(), "update"),
        (Method::PATCH, PLAYLISTS.to_owned(), "patch"),
        (Method::OPTIONS, PLAYLISTS.to_owned(), "options"),
        (Method::TRACE, object.clone(), "trace"),
        (Method::POST, format!("{object}/history"), "create"),
        (Method::GET, format!("{object}/restore"), "get"),
    ] {
        let reply = server.call(method, &path).send().await;
        assert_eq!(
            reply.refused(405, "MethodNotAllowed"),
            format!(
                "{verb} is not supported on resources of kind \"playlists.playlist.grafana.app\""
            )
        );
    }
    for subresource in ["status", "scale", "nope"] {
        let reply = server.get(&format!("{object}/{subresource}")).await;
        assert_eq!(
            reply.refused(404, "NotFound"),
            "the server could not find the requested resource"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_get_without_a_body() {
    let server = TestServer::start().await;
    server.create("one").await;
    let reply = server
        .call(Method::HEAD, &format!("{PLAYLISTS}/one"))
        .send()
        .await;
    assert_eq!((reply.code, reply.body.len()), (200, 0));
    assert_eq!(
        server
            .call(Method::HEAD, &format!("{PLAYLISTS}/two"))
            .send()
            .await
            .code,
        404
    );
    server.stop().await;
}
