use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use storage_core::{Error, KEY_SEPARATOR, ResourceKey, Result, Scope};

/// A resource of a group: what has a mode.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Group and resource, as [`ResourceKey::group_resource`] has them.
    text: Arc<str>,
    /// Where the group ends in it.
    end: usize,
}

/// Longest readable part of a control record's key; longer ones are hashed.
const ID_BYTES_MAX: usize = 253;

impl Kind {
    /// Names a kind.
    #[must_use]
    pub fn new(group: impl AsRef<str>, resource: impl AsRef<str>) -> Self {
        let (group, resource) = (group.as_ref(), resource.as_ref());
        Self {
            text: format!("{group}{KEY_SEPARATOR}{resource}").into(),
            end: group.len(),
        }
    }

    /// Returns the kind of an object.
    #[must_use]
    pub fn of(key: &ResourceKey) -> Self {
        Self {
            text: key.group_resource().into(),
            end: key.group().len(),
        }
    }

    /// Returns the group; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.text[..self.end]
    }

    /// Returns the resource.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.text[self.end + 1..]
    }

    /// Returns the scope of all objects of this kind.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope::resource(self.group(), self.resource())
    }

    /// Returns the kind that all keys of the scope belong to, if it is one.
    pub(crate) fn of_scope(scope: &Scope) -> Option<Self> {
        match scope {
            Scope::All | Scope::Group { .. } => None,
            Scope::Resource { group, resource }
            | Scope::Namespace {
                group, resource, ..
            } => Some(Self::new(group, resource)),
            Scope::Object(key) => Some(Self::of(key)),
        }
    }

    /// Returns the part of control records' keys that stands for this kind.
    pub(crate) fn id(&self) -> String {
        join(self.resource(), self.group())
    }

    /// Returns the part of control records' keys that stands for the kind of an object.
    pub(crate) fn id_of(key: &ResourceKey) -> String {
        join(key.resource(), key.group())
    }
}

// As of the text alone, by which a map of kinds is asked with an object's key.
impl Hash for Kind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Borrow<str> for Kind {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group().is_empty() {
            return f.write_str(self.resource());
        }
        write!(f, "{}.{}", self.resource(), self.group())
    }
}

impl FromStr for Kind {
    type Err = Error;

    /// Reads `<resource>.<group>`, or `<resource>` of the core group.
    fn from_str(text: &str) -> Result<Self> {
        let (resource, group) = text.split_once('.').unwrap_or((text, ""));
        if resource.is_empty() {
            let context = format!("{text:?} is not a kind, <resource>.<group>");
            return Err(Error::invalid("parse kind", context));
        }
        Ok(Self::new(group, resource))
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kind({self})")
    }
}

/// Returns the part of control records' keys that stands for an object within its kind.
pub(crate) fn object_id(key: &ResourceKey) -> String {
    join(key.namespace(), key.name())
}

/// Joins two parts so that different pairs differ; a pair too long for a key is hashed. Records
/// carry the full names, so that a clash would be noticed.
fn join(a: &str, b: &str) -> String {
    let mut joined = String::with_capacity(a.len() + b.len() + 2);
    push_escaped(&mut joined, a);
    joined.push_str("~1");
    push_escaped(&mut joined, b);
    if joined.len() <= ID_BYTES_MAX {
        return joined;
    }
    format!("~2{:032x}", fnv_1a_128(joined.as_bytes()))
}

fn push_escaped(joined: &mut String, part: &str) {
    for (number, plain) in part.split('~').enumerate() {
        if number > 0 {
            joined.push_str("~0");
        }
        joined.push_str(plain);
    }
}

fn fnv_1a_128(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_pairs_have_different_ids() {
        let pairs = [
            ("a", "b"),
            ("a~1b", ""),
            ("", "a~1b"),
            ("a~", "1b"),
            ("a~0", "b"),
        ];
        let ids: std::collections::BTreeSet<String> =
            pairs.iter().map(|(a, b)| join(a, b)).collect();
        assert_eq!(ids.len(), pairs.len(), "{ids:?}");
    }

    #[test]
    fn long_pairs_fit_into_a_key() {
        let long = "x".repeat(253);
        let id = join(&long, &long);
        assert!(id.len() <= 64);
        assert_ne!(id, join(&long, &"y".repeat(253)));
        // The published test vector of the empty input's neighbour: one byte, "a".
        assert_eq!(fnv_1a_128(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }
}
