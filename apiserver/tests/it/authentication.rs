use apiserver::{Anonymous, Attributes, Authorizer, BasicCredential, Decision, PasswordHash, User};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;

use hyper::Method;

use crate::server::{PLAYLISTS, TestServer, one_token};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_health_without_credentials() {
    let server = TestServer::guarded().await;
    for path in ["/livez", "/readyz", "/healthz", "/version"] {
        assert_eq!(server.get(path).await.code, 200, "{path}");
    }
    for path in [
        "/",
        "/api",
        "/apis",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/nope",
        "/a//b",
    ] {
        let reply = server.get(path).await;
        assert_eq!(reply.refused(401, "Unauthorized"), "Unauthorized", "{path}");
        assert_eq!(reply.header("www-authenticate"), "Bearer");
    }
    server.get(PLAYLISTS).await.refused(401, "Unauthorized");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_too_when_strangers_are_refused() {
    let server = TestServer::with(|config| {
        config.authentication = one_token();
        config.authentication.anonymous = Anonymous::Refused;
    })
    .await;
    server.get("/livez").await.refused(401, "Unauthorized");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_passwords() {
    let server = TestServer::with(|config| {
        config.authentication = one_token();
        config.authentication.basic.push(BasicCredential {
            user: User::new("ann"),
            password: PasswordHash::of("secret").unwrap(),
        });
    })
    .await;
    let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    let ask = |value: String| {
        server
            .call(Method::GET, PLAYLISTS)
            .header("authorization", value)
    };
    for good in [
        "Bearer t0ken".to_owned(),
        basic("ann:secret"),
        basic("ann:secret"),
    ] {
        assert_eq!(ask(good).send().await.code, 200);
    }
    for bad in [
        "Bearer nope".to_owned(),
        basic("ann:nope"),
        basic("bob:secret"),
    ] {
        let reply = ask(bad).send().await;
        reply.refused(401, "Unauthorized");
        assert!(reply.header("www-authenticate").starts_with("Basic realm="));
    }
    // Whoever gives a wrong name is told so, even where nobody needs one.
    let health = server
        .call(Method::GET, "/livez")
        .header("authorization", "Bearer nope");
    health.send().await.refused(401, "Unauthorized");
    server.stop().await;
}

#[derive(Debug)]
struct ReadOnly;

impl Authorizer for ReadOnly {
    fn authorize(&self, _user: &User, attributes: &Attributes<'_>) -> Decision {
        match attributes {
            Attributes::Resource {
                verb: "get" | "list",
                ..
            } => Decision::Allow,
            _ => Decision::Deny(None),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_is_forbidden() {
    let server = TestServer::with(|config| {
        config.authentication = one_token();
        config.authorizer = Arc::new(ReadOnly);
    })
    .await;
    let ask = |method, path: &str| {
        let call = server
            .call(method, path)
            .header("authorization", "Bearer t0ken");
        call.send()
    };
    assert_eq!(ask(Method::GET, PLAYLISTS).await.code, 200);
    let reply = ask(Method::DELETE, &format!("{PLAYLISTS}/x")).await;
    assert_eq!(
        reply.refused(403, "Forbidden"),
        "playlists.playlist.grafana.app \"x\" is forbidden: User \"admin\" cannot delete resource \
         \"playlists\" in API group \"playlist.grafana.app\" in the namespace \"default\""
    );
    let details = &reply.json()["details"];
    assert_eq!(
        (&details["name"], &details["kind"]),
        (&"x".into(), &"playlists".into())
    );
    let watch = format!("{PLAYLISTS}?watch=true");
    assert!(
        ask(Method::GET, &watch)
            .await
            .refused(403, "Forbidden")
            .contains("cannot watch")
    );
    let sub = format!("{PLAYLISTS}/x/restore");
    let message = ask(Method::POST, &sub).await.refused(403, "Forbidden");
    assert!(
        message.contains("cannot create resource \"playlists/restore\""),
        "{message}"
    );
    assert_eq!(
        ask(Method::GET, "/apis").await.refused(403, "Forbidden"),
        "forbidden: User \"admin\" cannot get path \"/apis\""
    );
    server.stop().await;
}

/// An answer as if nobody had asked to be somebody else would be that of the wrong user.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_acts_as_another() {
    let server = TestServer::guarded().await;
    for (name, value, resource) in [
        ("impersonate-user", "bob", "users \"bob\""),
        ("impersonate-group", "g", "groups \"g\""),
        ("impersonate-uid", "7", "uids \"7\""),
        ("impersonate-extra-x", "y", "userextras \"y\""),
    ] {
        let call = server
            .call(Method::GET, PLAYLISTS)
            .header("authorization", "Bearer t0ken")
            .header(name, value);
        let message = call.send().await.refused(403, "Forbidden");
        let start = format!("{resource} is forbidden: User \"admin\" cannot impersonate");
        assert!(message.starts_with(&start), "{message}");
    }
    server.stop().await;
}
