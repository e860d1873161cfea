use std::fmt;
use std::sync::Arc;

use crate::key::{Empty, check_part};
use crate::limits::{GROUP_BYTES_MAX, NAMESPACE_BYTES_MAX, RESOURCE_BYTES_MAX};
use crate::{INTERNAL_GROUP, ResourceKey, Result};

/// The keys that a query looks at: always one contiguous range of the key order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Every object. The internal group is *not* part of it: only a scope that names it reaches it.
    All,
    /// Every object of a group.
    Group {
        /// The group.
        group: Arc<str>,
    },
    /// Every object of a resource, in all namespaces and outside of them.
    Resource {
        /// The group.
        group: Arc<str>,
        /// The resource.
        resource: Arc<str>,
    },
    /// Every object of a resource in one namespace.
    Namespace {
        /// The group.
        group: Arc<str>,
        /// The resource.
        resource: Arc<str>,
        /// The namespace; empty for cluster-scoped objects.
        namespace: Arc<str>,
    },
    /// One object.
    Object(ResourceKey),
}

impl Scope {
    /// Returns the scope of a group.
    #[must_use]
    pub fn group(group: impl Into<Arc<str>>) -> Self {
        Self::Group {
            group: group.into(),
        }
    }

    /// Returns the scope of a resource in all namespaces.
    #[must_use]
    pub fn resource(group: impl Into<Arc<str>>, resource: impl Into<Arc<str>>) -> Self {
        Self::Resource {
            group: group.into(),
            resource: resource.into(),
        }
    }

    /// Returns the scope of a resource in one namespace.
    #[must_use]
    pub fn namespace(
        group: impl Into<Arc<str>>,
        resource: impl Into<Arc<str>>,
        namespace: impl Into<Arc<str>>,
    ) -> Self {
        Self::Namespace {
            group: group.into(),
            resource: resource.into(),
            namespace: namespace.into(),
        }
    }

    /// Tells whether the key lies in this scope.
    #[must_use]
    pub fn contains(&self, key: &ResourceKey) -> bool {
        match self {
            Self::All => !key.is_internal(),
            Self::Group { group } => key.group() == &**group,
            Self::Resource { group, resource } => {
                key.group() == &**group && key.resource() == &**resource
            }
            Self::Namespace {
                group,
                resource,
                namespace,
            } => {
                key.group() == &**group
                    && key.resource() == &**resource
                    && key.namespace() == &**namespace
            }
            Self::Object(object) => key == object,
        }
    }

    /// Tells whether this scope lies in the internal group.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        match self {
            Self::All => false,
            Self::Group { group }
            | Self::Resource { group, .. }
            | Self::Namespace { group, .. } => &**group == INTERNAL_GROUP,
            Self::Object(key) => key.is_internal(),
        }
    }

    /// Returns the parts that are named, in key order: none for `All`, four for `Object`.
    #[must_use]
    pub fn parts(&self) -> Vec<&str> {
        match self {
            Self::All => vec![],
            Self::Group { group } => vec![group],
            Self::Resource { group, resource } => vec![group, resource],
            Self::Namespace {
                group,
                resource,
                namespace,
            } => vec![group, resource, namespace],
            Self::Object(k) => vec![k.group(), k.resource(), k.namespace(), k.name()],
        }
    }

    /// Checks the parts by the rule of [`ResourceKey::new`]. Backends call it first in a query.
    ///
    /// # Errors
    /// `Invalid`, with the part and what is wrong with it.
    pub fn validate(&self) -> Result<()> {
        let parts = self.parts();
        let rules = [
            ("group", GROUP_BYTES_MAX, true),
            ("resource", RESOURCE_BYTES_MAX, false),
            ("namespace", NAMESPACE_BYTES_MAX, true),
        ];
        for (part, (what, bytes_max, may_be_empty)) in parts.iter().zip(rules) {
            let empty = if may_be_empty {
                Empty::Allowed
            } else {
                Empty::Refused
            };
            check_part(what, part, bytes_max, empty)?;
        }
        Ok(())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all objects"),
            Self::Object(key) => key.fmt(f),
            Self::Group { .. } | Self::Resource { .. } | Self::Namespace { .. } => {
                write!(f, "{}/*", self.parts().join("/"))
            }
        }
    }
}
