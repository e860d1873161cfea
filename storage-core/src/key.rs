use std::fmt;
use std::sync::Arc;

use crate::limits::{GROUP_BYTES_MAX, NAME_BYTES_MAX, NAMESPACE_BYTES_MAX, RESOURCE_BYTES_MAX};
use crate::{Error, Result};

/// The group of our own control records. No API shows it. Its records have a current value and a
/// revision for preconditions; they have no history, no trash, no change records and no counts.
pub const INTERNAL_GROUP: &str = "unistore.internal";

/// The name of an object: group, resource, namespace and name.
///
/// Checked at construction, so that a key that exists is well formed. The group may be empty (the
/// core group) and so may the namespace (cluster-scoped objects); resource and name may not. Parts
/// are UTF-8 without control characters and without `/`. Keys are ordered part by part, byte by
/// byte; so are they in every store, whatever its collation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceKey {
    group: Arc<str>,
    resource: Arc<str>,
    namespace: Arc<str>,
    name: Arc<str>,
}

impl ResourceKey {
    /// Creates a key.
    ///
    /// # Errors
    /// `Invalid` if a part is too long, empty where it may not be, or holds a control character
    /// or `/`.
    pub fn new(
        group: impl Into<Arc<str>>,
        resource: impl Into<Arc<str>>,
        namespace: impl Into<Arc<str>>,
        name: impl Into<Arc<str>>,
    ) -> Result<Self> {
        let key = Self {
            group: group.into(),
            resource: resource.into(),
            namespace: namespace.into(),
            name: name.into(),
        };
        check_part("group", &key.group, GROUP_BYTES_MAX, Empty::Allowed)?;
        check_part(
            "resource",
            &key.resource,
            RESOURCE_BYTES_MAX,
            Empty::Refused,
        )?;
        check_part(
            "namespace",
            &key.namespace,
            NAMESPACE_BYTES_MAX,
            Empty::Allowed,
        )?;
        check_part("name", &key.name, NAME_BYTES_MAX, Empty::Refused)?;
        Ok(key)
    }

    /// Creates the key of a control record.
    ///
    /// # Errors
    /// As [`ResourceKey::new`].
    pub fn internal(
        resource: impl Into<Arc<str>>,
        namespace: impl Into<Arc<str>>,
        name: impl Into<Arc<str>>,
    ) -> Result<Self> {
        Self::new(INTERNAL_GROUP, resource, namespace, name)
    }

    /// Returns the smallest key, well formed or not, that starts with these parts: a range bound.
    pub(crate) fn lower_bound(parts: &[&str]) -> Self {
        let part = |index: usize| Arc::from(parts.get(index).copied().unwrap_or_default());
        Self {
            group: part(0),
            resource: part(1),
            namespace: part(2),
            name: part(3),
        }
    }

    /// Returns the API group; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Returns the resource, the plural word of the URL.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// Returns the namespace; empty for cluster-scoped objects.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells whether this is the key of a control record.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        &*self.group == INTERNAL_GROUP
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}/{}/{}",
            self.group, self.resource, self.namespace, self.name
        )
    }
}

impl fmt::Debug for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResourceKey({self})")
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Empty {
    Allowed,
    Refused,
}

/// Checks one part of a key; scopes are held to the same rule.
pub(crate) fn check_part(what: &str, part: &str, bytes_max: usize, empty: Empty) -> Result<()> {
    let refuse = |why: String| Err(Error::invalid("parse key", format!("{what} {why}")));
    if part.is_empty() && matches!(empty, Empty::Refused) {
        return refuse("must not be empty".into());
    }
    if part.len() > bytes_max {
        return refuse(format!(
            "has {} bytes, at most {bytes_max} are allowed",
            part.len()
        ));
    }
    match part.chars().find(|c| c.is_control() || *c == '/') {
        Some(c) => refuse(format!("{part:?} must not contain {c:?}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_checked() {
        assert!(ResourceKey::new("", "pods", "", "a").is_ok());
        assert!(ResourceKey::new("g", "r", "n", "ü 😀 . ~").is_ok());
        assert!(ResourceKey::new("g", "r", "n", "x".repeat(NAME_BYTES_MAX)).is_ok());
        for (group, resource, namespace, name) in [
            ("g", "", "n", "a"),
            ("g", "r", "n", ""),
            ("g", "r", "n", "a/b"),
            ("g", "r", "n\0", "a"),
            ("g", "r", "n", "a\n"),
        ] {
            assert!(ResourceKey::new(group, resource, namespace, name).is_err());
        }
        let long = ResourceKey::new("g", "r", "n", "x".repeat(NAME_BYTES_MAX + 1)).unwrap_err();
        assert_eq!(
            long.to_string(),
            "parse key: name has 254 bytes, at most 253 are allowed"
        );
    }

    #[test]
    fn order_is_part_by_part() {
        let key = |ns: &str, name: &str| ResourceKey::new("g", "r", ns, name).unwrap();
        assert!(key("a", "z") < key("a-b", "a"));
        assert!(key("a", "Z") < key("a", "a"));
    }
}
