//! Tests of the library and of the binary.
#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test says that it failed"
)]

mod support;

mod consistency;
mod copy;
mod retention;

mod dashboards;
mod kube_client;
mod lifecycle;
mod migration;
mod output;
mod walkthrough;
