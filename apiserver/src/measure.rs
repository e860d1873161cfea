use hyper::StatusCode;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use resource::Kind;
use tokio::time::Instant;

use crate::in_flight::Load;

/// Describes the metrics of this crate. To be called when the recorder is installed.
pub fn describe_metrics() {
    describe_counter!(
        "apiserver_request_total",
        "Requests that were answered, by verb, resource and code."
    );
    describe_histogram!(
        "apiserver_request_duration_seconds",
        Unit::Seconds,
        "Time to the head of an answer."
    );
    describe_gauge!(
        "apiserver_current_inflight_requests",
        "Requests that are being answered, by how they count."
    );
    describe_counter!(
        "apiserver_watch_events_total",
        "Events that were sent to watches."
    );
    describe_gauge!("apiserver_connections", "Open connections.");
    describe_counter!(
        "apiserver_connections_refused_total",
        "Connections beyond the limit."
    );
    describe_counter!(
        "apiserver_accept_errors_total",
        "Connections that could not be accepted."
    );
    describe_counter!(
        "apiserver_tls_handshake_errors_total",
        "TLS handshakes that failed or took too long."
    );
}

/// Counts an answered request. Only kinds that exist become labels: URLs are without end.
pub(crate) fn request(verb: &'static str, kind: Option<&Kind>, code: StatusCode, started: Instant) {
    let resource = kind.map_or_else(String::new, |kind| kind.plural().to_owned());
    let group = kind.map_or_else(String::new, |kind| kind.group().to_owned());
    metrics::counter!("apiserver_request_total", "verb" => verb, "group" => group.clone(),
        "resource" => resource.clone(), "code" => code.as_u16().to_string())
    .increment(1);
    if verb != "watch" {
        metrics::histogram!("apiserver_request_duration_seconds", "verb" => verb,
            "group" => group, "resource" => resource)
        .record(started.elapsed());
    }
}

/// Counts a request until it is dropped.
pub(crate) fn in_flight(load: Load) -> Gauge {
    let gauge = metrics::gauge!("apiserver_current_inflight_requests",
        "request_kind" => load.name());
    gauge.increment(1);
    Gauge(gauge)
}

/// A request that counts.
pub(crate) struct Gauge(metrics::Gauge);

impl Drop for Gauge {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
