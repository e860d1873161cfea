//! Storage for Kubernetes-style objects: one binary and a small library.
//!
//! The library opens a store by its address, puts the usual layers above it and keeps it tidy:
//! what the binary does, for programs that want the same inside.

mod layers;
mod objects;
mod scan;
mod store_url;

pub mod consistency;
pub mod copy;
pub mod diff;
pub mod registry;
pub mod retention;

pub use layers::Layers;
pub use objects::objects;
pub use store_url::StoreUrl;

pub use {apiserver, dualwriter, resource, storage_core};
