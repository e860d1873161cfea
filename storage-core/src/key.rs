use std::fmt;
use std::sync::Arc;

use crate::limits::{GROUP_BYTES_MAX, NAME_BYTES_MAX, NAMESPACE_BYTES_MAX, RESOURCE_BYTES_MAX};
use crate::{Error, Result};

/// The group of our own control records. No API shows it. Its records have a current value and a
/// revision for preconditions; they have no history, no trash, no change records and no counts.
pub const INTERNAL_GROUP: &str = "unistore.internal";

/// Stands between the parts of a key's text. It sorts below all that parts can hold, which have no
/// control characters: comparing texts byte by byte compares keys part by part. A tab, so that
/// people can read it.
pub const KEY_SEPARATOR: char = '\t';

/// The name of an object: group, resource, namespace and name.
///
/// Checked at construction, so that a key that exists is well formed. The group may be empty (the
/// core group) and so may the namespace (cluster-scoped objects); resource and name may not. Parts
/// are UTF-8 without control characters and without `/`. Keys are ordered part by part, byte by
/// byte; so are they in every store, whatever its collation.
///
/// A clone shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceKey {
    text: Arc<str>,
    /// Where the first three parts end in the text.
    ends: [u16; 3],
}

impl ResourceKey {
    /// Creates a key.
    ///
    /// # Errors
    /// `Invalid` if a part is too long, empty where it may not be, or holds a control character
    /// or `/`.
    pub fn new(
        group: impl AsRef<str>,
        resource: impl AsRef<str>,
        namespace: impl AsRef<str>,
        name: impl AsRef<str>,
    ) -> Result<Self> {
        let parts = [
            group.as_ref(),
            resource.as_ref(),
            namespace.as_ref(),
            name.as_ref(),
        ];
        let [group, resource, namespace, name] = parts;
        check_part("group", group, GROUP_BYTES_MAX, Empty::Allowed)?;
        check_part("resource", resource, RESOURCE_BYTES_MAX, Empty::Refused)?;
        check_part("namespace", namespace, NAMESPACE_BYTES_MAX, Empty::Allowed)?;
        check_part("name", name, NAME_BYTES_MAX, Empty::Refused)?;
        Ok(Self::of_parts(parts))
    }

    /// Creates the key of a control record.
    ///
    /// # Errors
    /// As [`ResourceKey::new`].
    pub fn internal(
        resource: impl AsRef<str>,
        namespace: impl AsRef<str>,
        name: impl AsRef<str>,
    ) -> Result<Self> {
        Self::new(INTERNAL_GROUP, resource, namespace, name)
    }

    /// Returns the smallest key, well formed or not, that starts with these parts: a range bound.
    pub(crate) fn lower_bound(parts: &[&str]) -> Self {
        let part = |index: usize| parts.get(index).copied().unwrap_or_default();
        Self::of_parts([part(0), part(1), part(2), part(3)])
    }

    fn of_parts(parts: [&str; 4]) -> Self {
        let mut text = String::with_capacity(parts.map(str::len).iter().sum::<usize>() + 3);
        let mut ends = [0; 3];
        for (index, part) in parts.into_iter().enumerate() {
            if index > 0 {
                // Four parts of at most 253 bytes.
                ends[index - 1] = u16::try_from(text.len()).unwrap_or(u16::MAX);
                text.push(KEY_SEPARATOR);
            }
            text.push_str(part);
        }
        Self {
            text: text.into(),
            ends,
        }
    }

    /// Returns the parts with [`KEY_SEPARATOR`] between each two: as text, it sorts as keys do.
    #[must_use]
    pub fn as_text(&self) -> &str {
        &self.text
    }

    /// Returns the group and the resource with [`KEY_SEPARATOR`] between them.
    #[must_use]
    pub fn group_resource(&self) -> &str {
        &self.text[..self.end(1)]
    }

    /// Returns the API group; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.text[..self.end(0)]
    }

    /// Returns the resource, the plural word of the URL.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.text[self.end(0) + 1..self.end(1)]
    }

    /// Returns the namespace; empty for cluster-scoped objects.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.text[self.end(1) + 1..self.end(2)]
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.text[self.end(2) + 1..]
    }

    fn end(&self, part: usize) -> usize {
        usize::from(self.ends[part])
    }

    /// Tells whether this is the key of a control record.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.group() == INTERNAL_GROUP
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}/{}/{}",
            self.group(),
            self.resource(),
            self.namespace(),
            self.name()
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
    // Nearly all parts are plain ASCII, for which bytes are enough.
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'/';
    if part.as_bytes().iter().all(is_plain) {
        return Ok(());
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
        assert!(key("", "z") < key(" ", "a"));
    }

    #[test]
    fn parts_come_back() {
        let long = "x".repeat(NAME_BYTES_MAX);
        for parts in [
            ["", "r", "", "n"],
            ["g", "r", "ü 😀", "n"],
            [&*long, &*long, &*long, &*long],
        ] {
            let [group, resource, namespace, name] = parts;
            let key = ResourceKey::new(group, resource, namespace, name).unwrap();
            let got = [key.group(), key.resource(), key.namespace(), key.name()];
            assert_eq!(got, parts);
            assert_eq!(key.group_resource(), format!("{group}\t{resource}"));
            assert_eq!(key.as_text(), parts.join("\t"));
        }
    }
}
