use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE,
};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use resource::{Kind, Objects};
use storage_core::Clock;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;

use crate::activity::Busy;
use crate::answer::{Answer, Held};
use crate::authentication::{Anonymous, Authenticator};
use crate::authorization::{Attributes, Authorizer, Decision};
use crate::body::Body;
use crate::call::{Call, Verb, header};
use crate::config::{Limits, MetricsRenderer, ServerConfig, Timeouts};
use crate::documents::Documents;
use crate::health::HealthCheck;
use crate::in_flight::{InFlight, Load, Room};
use crate::limits::URI_BYTES_MAX;
use crate::path::{ResourcePath, Route};
use crate::query::Query;
use crate::status::{Details, Status, qualified};
use crate::user::ANONYMOUS;
use crate::{ServerError, User, VersionInfo, gzip, measure, non_resource, verbs};

/// What all requests of a server share.
pub(crate) struct Api {
    objects: Objects,
    elsewhere: BTreeMap<String, Objects>,
    pub(crate) documents: Documents,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) metrics: Option<MetricsRenderer>,
    pub(crate) checks: Vec<Arc<dyn HealthCheck>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) version: VersionInfo,
    /// Cancelled when the server stops taking requests.
    pub(crate) draining: CancellationToken,
    authenticator: Authenticator,
    authorizer: Arc<dyn Authorizer>,
    in_flight: InFlight,
    requests: TaskTracker,
}

/// A request whose URL was understood.
struct Parsed {
    route: Route,
    query: Query,
    /// None for a path that is not of objects.
    verb: Option<Verb>,
}

/// What is known of a request when it is answered, for metrics.
#[derive(Default)]
struct Labels {
    verb: &'static str,
    kind: Option<Arc<Kind>>,
}

impl Api {
    pub(crate) fn new(config: ServerConfig, objects: Objects) -> Result<Self, ServerError> {
        let draining = CancellationToken::new();
        let mut checks = config.checks;
        checks.push(Arc::new(Shutdown(draining.clone())));
        Ok(Self {
            documents: Documents::new(Arc::clone(objects.kinds())),
            objects,
            elsewhere: config.elsewhere,
            authenticator: Authenticator::new(config.authentication)?,
            authorizer: config.authorizer,
            in_flight: InFlight::new(&config.limits),
            limits: config.limits,
            timeouts: config.timeouts,
            metrics: config.metrics,
            checks,
            clock: config.clock,
            version: config.version,
            draining,
            requests: TaskTracker::new(),
        })
    }

    /// Refuses further requests and ends watches.
    pub(crate) fn begin_draining(&self) {
        self.draining.cancel();
        self.requests.close();
    }

    /// Waits until no request is being answered.
    pub(crate) async fn drained(&self) {
        self.requests.wait().await;
    }

    /// Answers a request. It cannot fail: what goes wrong is an answer, too.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        busy: Busy,
    ) -> Response<Body> {
        let audit_id = audit_id();
        let started = Instant::now();
        let span = tracing::info_span!("request", %audit_id, method = %request.method(),
            path = request.uri().path());
        let takes_gzip = gzip::is_accepted(header(request.headers(), ACCEPT_ENCODING));
        let mut labels = Labels::default();
        let (answer, room) = AssertUnwindSafe(self.respond(request, &mut labels))
            .catch_unwind()
            .instrument(span.clone())
            .await
            .unwrap_or_else(|_| {
                // The panic's own text is already logged by the hook.
                (
                    Status::internal("the request could not be answered").into(),
                    None,
                )
            });
        let mut response = answer
            .into_response(takes_gzip)
            .instrument(span.clone())
            .await;
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_str(&audit_id.to_string()) {
            headers.insert(HeaderName::from_static("audit-id"), value);
        }
        measure::request(
            labels.verb,
            labels.kind.as_deref(),
            response.status(),
            started,
        );
        span.in_scope(|| {
            let code = response.status().as_u16();
            tracing::debug!(code, verb = labels.verb, duration = ?started.elapsed(), "answered");
        });
        response.map(|body| Held::new(body, (busy, room)).boxed_unsync())
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        labels: &mut Labels,
    ) -> (Answer, Option<Admitted>) {
        let (parts, body) = request.into_parts();
        let mut room = None;
        let answer = self.try_respond(&parts, body, labels, &mut room).await;
        let answer = answer.unwrap_or_else(|status| {
            let unauthorized = status.code() == StatusCode::UNAUTHORIZED;
            let answer = Answer::from(status);
            if unauthorized && self.authenticator.takes_passwords() {
                let ask = HeaderValue::from_static("Basic realm=\"unistore\", charset=\"UTF-8\"");
                answer.header(WWW_AUTHENTICATE, ask)
            } else if unauthorized {
                answer.header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            } else {
                answer
            }
        });
        (answer, room)
    }

    async fn try_respond(
        &self,
        parts: &Parts,
        body: Incoming,
        labels: &mut Labels,
        room: &mut Option<Admitted>,
    ) -> Result<Answer, Status> {
        let parsed = Parsed::parse(parts);
        let user = self.user(&parts.headers, parsed.as_ref().ok()).await?;
        refuse_impersonation(&user, &parts.headers)?;
        let parsed = parsed?;
        labels.verb = parsed.verb.map_or("", Verb::name);
        if let Route::Health(..) | Route::Metrics = parsed.route {
            self.authorize(&user, parts, &parsed)?;
            return self.non_resource(parts, &parsed);
        }
        if self.draining.is_cancelled() {
            return Err(Status::shutting_down());
        }
        self.authorize(&user, parts, &parsed)?;
        let load = parsed.load();
        *room = Some(Admitted {
            _room: self.in_flight.admit(load, &user.name)?,
            _request: self.requests.token(),
            _gauge: measure::in_flight(load),
        });
        let Route::Resource(path) = &parsed.route else {
            return self.non_resource(parts, &parsed);
        };
        let Some(verb) = parsed.verb else {
            let method = parts.method.as_str().to_ascii_lowercase();
            return Err(Status::method_not_allowed(
                &method,
                &path.group,
                &path.resource,
            ));
        };
        let call = Call {
            api: self,
            objects: self.elsewhere.get(&path.group).unwrap_or(&self.objects),
            headers: &parts.headers,
            query: &parsed.query,
            path,
            verb,
        };
        let answering = resource(&call, body, labels);
        let time = self.timeouts.request;
        tokio::time::timeout(time, answering)
            .await
            .unwrap_or_else(|_| Err(Status::timeout(time)))
    }

    /// Finds out who sent the request, and whether nobody may.
    async fn user(&self, headers: &HeaderMap, parsed: Option<&Parsed>) -> Result<User, Status> {
        let credential = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        if let Some(user) = self.authenticator.authenticate(credential).await? {
            return Ok(user);
        }
        let is_public = parsed.is_some_and(Parsed::is_public);
        match self.authenticator.anonymous {
            Anonymous::Everything => Ok(User::anonymous()),
            Anonymous::Health if is_public => Ok(User::anonymous()),
            Anonymous::Health | Anonymous::Refused => Err(Status::unauthorized()),
        }
    }

    fn authorize(&self, user: &User, parts: &Parts, parsed: &Parsed) -> Result<(), Status> {
        let nobody = user.name == ANONYMOUS;
        if nobody && (parsed.is_public() || self.authenticator.anonymous == Anonymous::Everything) {
            return Ok(());
        }
        let method = parts.method.as_str().to_ascii_lowercase();
        let attributes = match (&parsed.route, parsed.verb) {
            (Route::Resource(path), Some(verb)) => attributes(path, verb),
            _ => Attributes::Path {
                verb: &method,
                path: parts.uri.path(),
            },
        };
        match self.authorizer.authorize(user, &attributes) {
            Decision::Allow => Ok(()),
            Decision::Deny(reason) => {
                let message = attributes.refusal(user, reason.as_deref());
                let (subject, details) = subject(&parsed.route);
                Err(Status::forbidden(&subject, &message, details))
            }
        }
    }

    fn non_resource(&self, parts: &Parts, parsed: &Parsed) -> Result<Answer, Status> {
        if parsed.route != Route::Unknown && !matches!(parts.method, Method::GET | Method::HEAD) {
            return Err(Status::method_not_served());
        }
        non_resource::answer(self, &parsed.route, &parsed.query, &parts.headers)
    }
}

/// Answers a request to objects.
async fn resource(call: &Call<'_>, body: Incoming, labels: &mut Labels) -> Result<Answer, Status> {
    let path = call.path;
    let snapshot = call.objects.kinds().snapshot();
    let Some(kind) = snapshot.find(&path.group, &path.version, &path.resource) else {
        return Ok(Answer::not_found_page());
    };
    labels.kind = Some(Arc::clone(&kind));
    let collection = kind.collection(path.namespace.as_deref())?;
    let refuse = || Status::method_not_allowed(call.verb.name(), kind.group(), kind.plural());
    let target = path.name.as_deref().map(|name| collection.object(name));
    let answer = match (call.verb, path.subresource.as_deref()) {
        (Verb::Watch, None) => verbs::watch(call, &collection, path.name.as_deref()).await,
        (verb, Some(subresource)) => match (subresource, verb, target.transpose()?) {
            ("history", Verb::Get, Some(target)) => verbs::history(call, &target).await,
            ("restore", Verb::Create, Some(target)) => verbs::restore(call, &target, body).await,
            ("history" | "restore", _, _) => Err(refuse()),
            _ => Err(Status::no_such_resource()),
        },
        (verb, None) => match (verb, target.transpose()?) {
            (Verb::Get, Some(target)) => verbs::get(call, &target).await,
            (Verb::Update, Some(target)) => verbs::update(call, &target, body).await,
            (Verb::Patch, Some(target)) => verbs::patch(call, &target, body).await,
            (Verb::Delete, Some(target)) => verbs::delete(call, &target, body).await,
            (Verb::List, None) => verbs::list(call, &collection).await,
            (Verb::Create, None) => verbs::create(call, &collection, body).await,
            // An empty name of a namespace must not delete what is in all of them.
            (Verb::DeleteCollection, None) if collection.is_one_place() => {
                verbs::delete_collection(call, &collection, body).await
            }
            _ => Err(refuse()),
        },
    }?;
    Ok(answer.warnings(kind.deprecation_warning()))
}

impl Parsed {
    fn parse(parts: &Parts) -> Result<Self, Status> {
        let uri = &parts.uri;
        let bytes = uri.path().len() + uri.query().map_or(0, str::len);
        if bytes > URI_BYTES_MAX {
            return Err(Status::uri_too_long(URI_BYTES_MAX));
        }
        let route = Route::parse(uri.path())?;
        let query = Query::parse(uri.query().unwrap_or_default())?;
        let verb = match &route {
            Route::Resource(path) => Verb::of(&parts.method, path, &query),
            _ => None,
        };
        Ok(Self { route, query, verb })
    }

    /// Tells whether everyone may see it when anonymous requests are let in for health.
    const fn is_public(&self) -> bool {
        matches!(self.route, Route::Health(..) | Route::Version)
    }

    fn load(&self) -> Load {
        match self.verb {
            Some(Verb::Watch) => Load::Watch,
            Some(verb) if verb.is_write() => Load::Write,
            Some(_) | None => Load::Read,
        }
    }
}

/// What a request holds until its answer is sent.
struct Admitted {
    _room: Room,
    _request: tokio_util::task::task_tracker::TaskTrackerToken,
    _gauge: measure::Gauge,
}

fn attributes(path: &ResourcePath, verb: Verb) -> Attributes<'_> {
    Attributes::Resource {
        verb: verb.name(),
        group: &path.group,
        version: &path.version,
        resource: &path.resource,
        subresource: path.subresource.as_deref().unwrap_or_default(),
        namespace: path.namespace.as_deref().unwrap_or_default(),
        name: path.name.as_deref().unwrap_or_default(),
    }
}

/// Acting as somebody else needs rules about who may. Until there are any nobody may, and a
/// request that asks for it must not be answered as if it had not.
fn refuse_impersonation(user: &User, headers: &HeaderMap) -> Result<(), Status> {
    let asked = headers
        .keys()
        .find(|name| name.as_str().starts_with("impersonate-"));
    let Some(asked) = asked else {
        return Ok(());
    };
    let name = header(headers, asked);
    let resource = match asked.as_str() {
        "impersonate-user" => "users",
        "impersonate-group" => "groups",
        "impersonate-uid" => "uids",
        _ => "userextras",
    };
    let attributes = Attributes::Resource {
        verb: "impersonate",
        group: "",
        version: "v1",
        resource,
        subresource: "",
        namespace: "",
        name,
    };
    let details = Details {
        name: name.to_owned(),
        kind: resource.to_owned(),
        ..Details::default()
    };
    let message = attributes.refusal(user, None);
    let subject = format!("{resource} {name:?}");
    Err(Status::forbidden(&subject, &message, details))
}

/// Names what was forbidden.
fn subject(route: &Route) -> (String, Details) {
    let Route::Resource(path) = route else {
        return (String::new(), Details::default());
    };
    let name = path.name.clone().unwrap_or_default();
    let resource = qualified(&path.resource, &path.group);
    let subject = if name.is_empty() {
        resource
    } else {
        format!("{resource} {name:?}")
    };
    let details = Details {
        name,
        group: path.group.clone(),
        kind: path.resource.clone(),
        ..Details::default()
    };
    (subject, details)
}

/// Names a request in logs and in its answer. Without randomness it has no name of its own.
fn audit_id() -> Uuid {
    let mut bytes = [0; 16];
    let _ = getrandom::fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// Fails as soon as the server stops taking requests.
#[derive(Debug)]
struct Shutdown(CancellationToken);

impl HealthCheck for Shutdown {
    fn name(&self) -> &str {
        "shutdown"
    }

    fn check(&self) -> Result<(), String> {
        if self.0.is_cancelled() {
            return Err("the server is shutting down".into());
        }
        Ok(())
    }
}
