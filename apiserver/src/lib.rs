//! The Kubernetes API over HTTP: routing, discovery, OpenAPI, tables, patches, watch framing.

pub mod limits;

mod config;
mod error;
mod tls;
mod version;

mod authentication;
mod authorization;
pub mod user;

mod accept;
mod hex;
mod path;
mod query;
mod status;
mod warning;

mod age;
mod answer;
mod body;
mod call;
mod gzip;
mod options;
mod table;
mod verbs;
mod view;

mod discovery;
mod documents;
mod health;
mod non_resource;
mod openapi;

mod api;
mod in_flight;
mod measure;

mod activity;
mod connection;
mod server;
mod stall;

mod client;

pub use authentication::{
    Anonymous, Authentication, BasicCredential, PasswordHash, TokenCredential, TokenHash,
};
pub use authorization::{AllowAuthenticated, Attributes, Authorizer, Decision};
pub use client::{Client, ClientError, Response};
pub use config::{Limits, MetricsRenderer, ServerConfig, Timeouts};
pub use error::ServerError;
pub use health::HealthCheck;
pub use measure::describe_metrics;
pub use server::Server;
pub use tls::TlsIdentity;
pub use user::User;
pub use version::VersionInfo;
