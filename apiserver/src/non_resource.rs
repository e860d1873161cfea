use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{
    ACCEPT, CACHE_CONTROL, ETAG, EXPIRES, HeaderMap, HeaderValue, IF_NONE_MATCH, LOCATION, VARY,
};
use serde_json::{Value, json};
use storage_core::Timestamp;

use crate::accept;
use crate::answer::{Answer, Payload};
use crate::api::Api;
use crate::call::header;
use crate::discovery::{self, Core};
use crate::documents::{AggregatedVersion, Document};
use crate::path::{Probe, Route};
use crate::query::Query;
use crate::status::Status;
use crate::{health, openapi};

/// How long a document may be kept whose URL names its hash.
const HASHED_DOCUMENT_TIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// The OpenAPI v2 document in protobuf, as clients ask for it, and as they want it answered: with
/// the `@` they cannot parse the answer.
const OPENAPI_V2_ASKED: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    OPENAPI_V2_PROTOBUF,
];
const OPENAPI_V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers paths that are not of objects.
pub(crate) fn answer(
    api: &Api,
    route: &Route,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Answer, Status> {
    match route {
        Route::Root => Ok(json_answer(&root(api))),
        Route::Version => Ok(json_answer(&json!(api.version))),
        Route::Health(probe, check) => Ok(health(api, *probe, check.as_deref(), query)),
        Route::Metrics => Ok(metrics(api)),
        Route::Core => discover(api, Core::Only, headers),
        Route::Groups => discover(api, Core::Without, headers),
        Route::Group(name) => group(api, name, headers),
        Route::GroupVersion { group, version } => group_version(api, group, version, headers),
        Route::OpenApiV2 => openapi_v2(headers),
        Route::OpenApiV3 => openapi_v3_index(api, headers),
        Route::OpenApiV3Document { group, version } => {
            openapi_v3(api, group, version, query, headers)
        }
        Route::Resource(_) | Route::Unknown => Ok(Answer::not_found_page()),
    }
}

fn json_answer(value: &Value) -> Answer {
    Answer::json(Payload::Bytes(value.to_string().into()))
}

fn root(api: &Api) -> Value {
    let mut paths: Vec<String> = ["/api", "/apis", "/healthz", "/livez", "/openapi/v2"]
        .into_iter()
        .chain(["/openapi/v3", "/readyz", "/version"])
        .map(str::to_owned)
        .collect();
    if api.metrics.is_some() {
        paths.push("/metrics".into());
    }
    for group in api.documents.snapshot().groups() {
        for version in &group.versions {
            paths.push(format!("/{}", openapi::path(&group.name, &version.version)));
        }
        if !group.name.is_empty() {
            paths.push(format!("/apis/{}", group.name));
        }
    }
    paths.sort();
    json!({"paths": paths})
}

fn health(api: &Api, probe: Probe, check: Option<&str>, query: &Query) -> Answer {
    match health::probe(&api.checks, probe, check, query) {
        Some(health) => Answer::text(health.code, health.text),
        None => Answer::not_found_page(),
    }
}

fn metrics(api: &Api) -> Answer {
    match &api.metrics {
        Some(render) => Answer::new(StatusCode::OK, PROMETHEUS, Payload::Bytes(render().into())),
        None => Answer::not_found_page(),
    }
}

fn discover(api: &Api, core: Core, headers: &HeaderMap) -> Result<Answer, Status> {
    let asked = header(headers, ACCEPT);
    if let Some(version) = aggregated_version(asked) {
        let document = api.documents.aggregated(core, version);
        return Ok(cached(&document, version.media_type(), headers, "public"));
    }
    accept::require_json(asked)?;
    let snapshot = api.documents.snapshot();
    Ok(json_answer(&match core {
        Core::Only => discovery::core_versions(),
        Core::Without => discovery::group_list(snapshot.groups()),
    }))
}

/// Returns the version of aggregated discovery that a client wants more than the old form.
fn aggregated_version(asked: &str) -> Option<AggregatedVersion> {
    accept::parse(asked)
        .iter()
        .filter(|clause| clause.takes_json())
        .find_map(|clause| {
            let is_list = clause.parameter("g") == "apidiscovery.k8s.io"
                && clause.parameter("as") == "APIGroupDiscoveryList";
            match clause.parameter("v") {
                "v2" if is_list => Some(Some(AggregatedVersion::V2)),
                "v2beta1" if is_list => Some(Some(AggregatedVersion::V2Beta1)),
                _ if clause.parameter("as").is_empty() => Some(None),
                _ => None,
            }
        })
        .flatten()
}

fn group(api: &Api, name: &str, headers: &HeaderMap) -> Result<Answer, Status> {
    let snapshot = api.documents.snapshot();
    let found = snapshot.groups().iter().find(|group| group.name == name);
    let Some(group) = found.filter(|group| !group.name.is_empty()) else {
        return Ok(Answer::not_found_page());
    };
    accept::require_json(header(headers, ACCEPT))?;
    Ok(json_answer(&discovery::one_group(group)))
}

fn group_version(
    api: &Api,
    group: &str,
    version: &str,
    headers: &HeaderMap,
) -> Result<Answer, Status> {
    let snapshot = api.documents.snapshot();
    let mut versions = snapshot
        .groups()
        .iter()
        .filter(|of| of.name == group)
        .flat_map(|of| &of.versions);
    let kinds = match versions.find(|of| of.version == version) {
        Some(found) => found.kinds.as_slice(),
        None if group.is_empty() && version == discovery::CORE_VERSION => &[],
        None => return Ok(Answer::not_found_page()),
    };
    accept::require_json(header(headers, ACCEPT))?;
    Ok(json_answer(&discovery::resource_list(
        group, version, kinds,
    )))
}

fn openapi_v2(headers: &HeaderMap) -> Result<Answer, Status> {
    let asked = header(headers, ACCEPT);
    let clauses = accept::parse(asked);
    let protobuf = clauses
        .iter()
        .find(|clause| OPENAPI_V2_ASKED.contains(&clause.essence.as_str()));
    if protobuf.is_some() {
        // No bytes are an empty document: clients then go on with version 3.
        let payload = Payload::Bytes(bytes::Bytes::new());
        return Ok(Answer::new(StatusCode::OK, OPENAPI_V2_PROTOBUF, payload));
    }
    accept::require_json(asked)?;
    Ok(json_answer(&openapi::v2()))
}

fn openapi_v3_index(api: &Api, headers: &HeaderMap) -> Result<Answer, Status> {
    accept::require_json(header(headers, ACCEPT))?;
    let index = api.documents.openapi_v3_index();
    Ok(cached(
        &index,
        "application/json",
        headers,
        "no-cache, private",
    ))
}

fn openapi_v3(
    api: &Api,
    group: &str,
    version: &str,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Answer, Status> {
    let Some(document) = api.documents.openapi_v3(group, version) else {
        return Ok(Answer::not_found_page());
    };
    accept::require_json(header(headers, ACCEPT))?;
    match query.text("hash") {
        None => Ok(cached(
            &document,
            "application/json",
            headers,
            "no-cache, private",
        )),
        Some(hash) if hash == &*document.hash => {
            let answer = cached(&document, "application/json", headers, "public, immutable");
            let expires = api.clock.now().saturating_add(HASHED_DOCUMENT_TIME);
            Ok(match http_date(expires) {
                Some(date) => answer.header(EXPIRES, date),
                None => answer,
            })
        }
        Some(_) => {
            let path = openapi::path(group, version);
            let url = format!("/openapi/v3/{path}?hash={}", document.hash);
            let answer = Answer::empty(StatusCode::MOVED_PERMANENTLY);
            let url = HeaderValue::from_str(&url)
                .map_err(|_| Status::internal("a document without a URL"))?;
            Ok(answer.header(LOCATION, url))
        }
    }
}

/// Answers with a document, or says that the client has it already. That answer must not name a
/// content type: caches would put it into what they keep.
fn cached(
    document: &Document,
    media_type: &'static str,
    headers: &HeaderMap,
    cache_control: &'static str,
) -> Answer {
    let tag = format!("\"{}\"", document.hash);
    let known = header(headers, IF_NONE_MATCH);
    let is_known = known.split(',').any(|known| {
        let known = known.trim();
        known == tag || known == "*" || known.strip_prefix("W/") == Some(&tag)
    });
    let answer = if is_known {
        Answer::empty(StatusCode::NOT_MODIFIED)
    } else {
        let payload = Payload::Bytes(document.json.clone());
        Answer::new(StatusCode::OK, media_type, payload)
            .header(VARY, HeaderValue::from_static("Accept"))
            .header(CACHE_CONTROL, HeaderValue::from_static(cache_control))
    };
    match HeaderValue::from_str(&tag) {
        Ok(tag) => answer.header(ETAG, tag),
        Err(_) => answer,
    }
}

/// Writes a time as HTTP does.
fn http_date(time: Timestamp) -> Option<HeaderValue> {
    let ms = i64::try_from(time.as_millis()).ok()?;
    let time = jiff::Timestamp::from_millisecond(ms).ok()?;
    let text = time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregated_discovery_is_answered_in_the_wanted_version() {
        let both = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
            application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,\
            application/json";
        assert_eq!(aggregated_version(both), Some(AggregatedVersion::V2));
        let old = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,\
            application/json";
        assert_eq!(aggregated_version(old), Some(AggregatedVersion::V2Beta1));
        let peer = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList;\
            profile=nopeer";
        assert_eq!(aggregated_version(peer), Some(AggregatedVersion::V2));
        for legacy in ["", "application/json", "*/*", "application/json, */*"] {
            assert_eq!(aggregated_version(legacy), None, "{legacy}");
        }
    }

    #[test]
    fn dates_are_those_of_http() {
        let date = http_date(Timestamp::from_millis(784_111_777_000)).unwrap();
        assert_eq!(date, "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
