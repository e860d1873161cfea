use std::sync::Arc;

use storage_core::{ResourceKey, Scope};

use crate::kind::{Kind, KindScope};
use crate::{Failure, Result, names};

/// The objects of a kind in one namespace, in all of them, or outside of namespaces.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    kind: Arc<Kind>,
    namespace: Option<Arc<str>>,
}

/// One object, existing or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    collection: Collection,
    name: Arc<str>,
    key: ResourceKey,
}

impl Kind {
    /// Returns the objects of this kind in a namespace; without one, in all namespaces, or those
    /// of a cluster-scoped kind.
    ///
    /// # Errors
    /// `BadRequest` for a malformed namespace; `NotFound` for a namespace of a cluster-scoped kind,
    /// because that is no path of the API.
    pub fn collection(self: &Arc<Self>, namespace: Option<&str>) -> Result<Collection> {
        if let Some(namespace) = namespace {
            if self.scope() == KindScope::Cluster {
                return Err(self.not_found(""));
            }
            if let Some(why) = names::namespace(namespace) {
                return Err(Failure::bad_request(format!(
                    "the namespace {namespace:?} of the request is invalid: {why}"
                )));
            }
        }
        Ok(Collection {
            kind: Arc::clone(self),
            namespace: namespace.map(Arc::from),
        })
    }
}

impl Collection {
    /// Returns the kind.
    #[must_use]
    pub const fn kind(&self) -> &Arc<Kind> {
        &self.kind
    }

    /// Returns the namespace; none for all of them and for cluster-scoped kinds.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Tells whether this is the collection of one namespace, or of a cluster-scoped kind: where
    /// an object can be created.
    #[must_use]
    pub fn is_one_place(&self) -> bool {
        self.namespace.is_some() || self.kind.scope() == KindScope::Cluster
    }

    /// Returns an object of the collection by name, whether it exists or not.
    ///
    /// # Errors
    /// `BadRequest` if the collection spans all namespaces or no object can have the name.
    pub fn object(&self, name: &str) -> Result<Target> {
        if !self.is_one_place() {
            return Err(Failure::bad_request(
                "an empty namespace may not be set when a resource name is provided",
            ));
        }
        if let Some(why) = names::path_segment(name) {
            return Err(Failure::bad_request(format!(
                "invalid name {name:?}: {why}"
            )));
        }
        let namespace = self.namespace.as_deref().unwrap_or_default();
        let key = ResourceKey::new(self.kind.group(), self.kind.plural(), namespace, name)
            .map_err(|error| Failure::bad_request(error.context()))?;
        Ok(Target {
            collection: self.clone(),
            name: name.into(),
            key,
        })
    }

    pub(crate) fn scope(&self) -> Scope {
        let (group, plural) = (self.kind.group(), self.kind.plural());
        match (&self.namespace, self.kind.scope()) {
            (Some(namespace), _) => Scope::namespace(group, plural, Arc::clone(namespace)),
            (None, KindScope::Cluster) => Scope::namespace(group, plural, ""),
            (None, KindScope::Namespaced) => Scope::resource(group, plural),
        }
    }
}

impl Target {
    /// Returns the kind.
    #[must_use]
    pub const fn kind(&self) -> &Arc<Kind> {
        &self.collection.kind
    }

    /// Returns the collection that the object is in.
    #[must_use]
    pub const fn collection(&self) -> &Collection {
        &self.collection
    }

    /// Returns the namespace; none for a cluster-scoped kind.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.collection.namespace()
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn key(&self) -> &ResourceKey {
        &self.key
    }
}
