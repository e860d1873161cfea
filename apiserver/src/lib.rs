//! The Kubernetes API over HTTP: routing, discovery, OpenAPI, tables, patches, watch framing.
