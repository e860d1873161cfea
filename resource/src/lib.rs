//! What a Kubernetes object is: kinds, validation, metadata rules, selectors, patches, history.
//!
//! Read in this order: a [`Kind`] says what its objects may be, [`Kinds`] holds all of them, a
//! [`Collection`] and a [`Target`] are what a request is about, an [`Object`] is a revision as
//! bytes, [`Failure`] is a refusal with everything a client needs, and [`Objects`] answers the
//! requests, on any [`StorageBackend`](storage_core::StorageBackend).
//!
//! This crate decides what is true of an object. How that looks over HTTP is decided elsewhere.
//!
//! ```
//! use std::sync::Arc;
//!
//! use resource::{GetParameters, Kinds, Objects, ObjectsOptions, OsRandom, TokenKey, WriteOptions};
//! use storage_core::Memory;
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let options = ObjectsOptions::new(TokenKey::random(&OsRandom)?);
//! let kinds = Arc::new(Kinds::built_in());
//! let objects = Objects::new(Arc::new(Memory::new()), kinds, options);
//!
//! let kinds = objects.kinds().snapshot();
//! let folders = kinds
//!     .find("folder.grafana.app", "v1beta1", "folders")
//!     .ok_or("no such kind")?
//!     .collection(Some("default"))?;
//! let body = br#"{"apiVersion": "folder.grafana.app/v1beta1", "kind": "Folder",
//!     "metadata": {"generateName": "x"}, "spec": {"title": "Example folder"}}"#;
//! let created = objects.create(&folders, body, &WriteOptions::default()).await?.object;
//!
//! let target = folders.object(created.name())?;
//! let read = objects.get(&target, &GetParameters::default()).await?;
//! assert_eq!(read.to_json(), created.to_json());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod limits;

mod causes;
mod failure;
mod random;
mod storage_failure;

pub mod json;
mod json_path;
mod names;
mod schema;

mod kind;
mod kinds;
mod manifest;

mod collection;
mod draft;
mod json_patch;
mod merge_patch;
mod metadata;
mod object;
mod options;
mod selector;

mod objects;

pub use collection::{Collection, Target};
pub use failure::{Cause, CauseReason, Details, Failure, Reason, Result};
pub use json::Json;
pub use json_path::JsonPath;
pub use kind::{
    ColumnType, Kind, KindScope, Missing, PrinterColumn, SelectableField, Subresources,
    Unconditional, UpdatePolicy,
};
pub use kinds::{Group, GroupVersion, KindSnapshot, Kinds};
pub use manifest::KindError;
pub use names::NameRule;
pub use object::Object;
pub use objects::{
    Bookmark, Deletion, Effect, GetParameters, ListParameters, ObjectList, Objects, ObjectsOptions,
    Patch, TokenKey, Watch, WatchEvent, Written,
};
pub use options::{DeleteOptions, WriteOptions};
pub use random::{OsRandom, Random, SeededRandom};
