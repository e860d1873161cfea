use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use resource::{KindSnapshot, Kinds};
use serde_json::Value;
use sha2::{Digest, Sha512};

use crate::discovery::{self, Core};
use crate::{hex, openapi};

/// A rendered document and the hash of its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) json: Bytes,
    /// Upper-case hexadecimal SHA-512.
    pub(crate) hash: Arc<str>,
}

impl Document {
    pub(crate) fn new(value: &Value) -> Self {
        let json = Bytes::from(value.to_string());
        let hash = hex::lower(&Sha512::digest(&json)).to_ascii_uppercase();
        Self {
            json,
            hash: hash.into(),
        }
    }
}

/// Discovery and OpenAPI documents, rendered when they are first asked for after the kinds that
/// they show have changed. Other group-versions keep theirs.
#[derive(Debug)]
pub(crate) struct Documents {
    kinds: Arc<Kinds>,
    rendered: Mutex<Rendered>,
}

#[derive(Debug, Default)]
struct Rendered {
    generation: u64,
    aggregated: HashMap<(Core, AggregatedVersion), Document>,
    /// By group and version; the text is the hash of the kinds that the document shows.
    openapi: HashMap<(String, String), (String, Document)>,
}

/// A version of `apidiscovery.k8s.io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AggregatedVersion {
    V2,
    V2Beta1,
}

impl AggregatedVersion {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V2Beta1 => "v2beta1",
        }
    }

    /// Returns the media type of an answer: clients compare it as text.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::V2 => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            Self::V2Beta1 => {
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
            }
        }
    }
}

impl Documents {
    pub(crate) fn new(kinds: Arc<Kinds>) -> Self {
        Self {
            kinds,
            rendered: Mutex::default(),
        }
    }

    /// Returns the kinds as they are now.
    pub(crate) fn snapshot(&self) -> Arc<KindSnapshot> {
        self.kinds.snapshot()
    }

    /// Returns an aggregated discovery document.
    pub(crate) fn aggregated(&self, core: Core, version: AggregatedVersion) -> Document {
        let snapshot = self.snapshot();
        let mut rendered = self.rendered.lock();
        if rendered.generation != snapshot.generation() {
            rendered.aggregated.clear();
            rendered.generation = snapshot.generation();
        }
        let render = || {
            Document::new(&discovery::aggregated(
                snapshot.groups(),
                core,
                version.name(),
            ))
        };
        let entry = rendered.aggregated.entry((core, version));
        entry.or_insert_with(render).clone()
    }

    /// Returns the OpenAPI v3 document of a group-version; none if it is not served.
    pub(crate) fn openapi_v3(&self, group: &str, version: &str) -> Option<Document> {
        let snapshot = self.snapshot();
        let kinds_hash = snapshot.group_version_hash(group, version)?;
        let served = snapshot
            .groups()
            .iter()
            .filter(|of| of.name == group)
            .flat_map(|of| &of.versions)
            .find(|of| of.version == version)?;
        let key = (group.to_owned(), version.to_owned());
        let mut rendered = self.rendered.lock();
        match rendered.openapi.get(&key) {
            Some((hash, document)) if *hash == kinds_hash => Some(document.clone()),
            _ => {
                let document = Document::new(&openapi::v3(&served.kinds));
                let entry = (kinds_hash.to_owned(), document.clone());
                rendered.openapi.insert(key, entry);
                Some(document)
            }
        }
    }

    /// Returns the index of the OpenAPI v3 documents.
    pub(crate) fn openapi_v3_index(&self) -> Document {
        let mut paths = serde_json::Map::new();
        let snapshot = self.snapshot();
        for group in snapshot.groups() {
            for version in &group.versions {
                let Some(document) = self.openapi_v3(&group.name, &version.version) else {
                    continue;
                };
                let path = openapi::path(&group.name, &version.version);
                let url = format!("/openapi/v3/{path}?hash={}", document.hash);
                paths.insert(path, serde_json::json!({"serverRelativeURL": url}));
            }
        }
        Document::new(&serde_json::json!({"paths": paths}))
    }
}
