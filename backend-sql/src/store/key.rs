use storage_core::{KEY_SEPARATOR, ResourceKey, Result, Scope};

use super::failure::corrupt;

/// Stands between the parts of a stored key, which is the text of the key.
const SEPARATOR: u8 = KEY_SEPARATOR as u8;

/// The first byte that is higher than the separator.
const AFTER_SEPARATOR: u8 = SEPARATOR + 1;

/// Higher than every stored key: no UTF-8 text holds this byte.
const END_OF_KEYS: u8 = 0xff;

/// Returns a copy of the stored form of a key.
pub(crate) fn encode(key: &ResourceKey) -> Vec<u8> {
    stored(key).to_vec()
}

/// Returns the stored form of a key.
pub(crate) fn stored(key: &ResourceKey) -> &[u8] {
    key.as_text().as_bytes()
}

/// Returns the stored form of the namespace that a key is counted in: the prefix of its keys.
pub(crate) fn count_prefix(key: &ResourceKey) -> Vec<u8> {
    prefix(&[key.group(), key.resource(), key.namespace()])
}

/// Reads a stored key.
pub(crate) fn decode(stored: &[u8]) -> Result<ResourceKey> {
    let [group, resource, namespace, name] = parts(stored)?;
    ResourceKey::new(group, resource, namespace, name)
        .map_err(|e| corrupt("a stored key is malformed").with_source(e))
}

/// Splits a stored key, or the prefix of a namespace, into its parts.
pub(crate) fn parts(stored: &[u8]) -> Result<[&str; 4]> {
    let text = std::str::from_utf8(stored)
        .map_err(|e| corrupt("a stored key is not UTF-8").with_source(e))?;
    let mut parts = text.split(char::from(SEPARATOR));
    let mut next = || parts.next().ok_or_else(|| corrupt("a stored key is cut"));
    let four = [next()?, next()?, next()?, next()?];
    match parts.next() {
        Some(_) => Err(corrupt("a stored key has more than four parts")),
        None => Ok(four),
    }
}

/// Stored keys from `first` up to but without `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRange {
    pub(crate) first: Vec<u8>,
    pub(crate) end: Vec<u8>,
}

impl KeyRange {
    /// Returns the range of a scope.
    pub(crate) fn of(scope: &Scope) -> Self {
        match scope {
            Scope::All => Self {
                first: Vec::new(),
                end: vec![END_OF_KEYS],
            },
            Scope::Object(key) => {
                let first = encode(key);
                let end = successor(&first);
                Self { first, end }
            }
            Scope::Group { .. } | Scope::Resource { .. } | Scope::Namespace { .. } => {
                let first = prefix(&scope.parts());
                let mut end = first.clone();
                end.pop();
                end.push(AFTER_SEPARATOR);
                Self { first, end }
            }
        }
    }

    /// Returns the part of this range after a stored key.
    pub(crate) fn after(&self, stored: &[u8]) -> Self {
        Self {
            first: successor(stored),
            end: self.end.clone(),
        }
    }

    /// Returns the part of this range up to and with a stored key.
    pub(crate) fn through(&self, stored: &[u8]) -> Self {
        Self {
            first: self.first.clone(),
            end: successor(stored),
        }
    }
}

/// Returns the first byte string after this one.
fn successor(stored: &[u8]) -> Vec<u8> {
    let mut next = stored.to_vec();
    next.push(0);
    next
}

fn prefix(parts: &[&str]) -> Vec<u8> {
    let mut prefix = Vec::new();
    for part in parts {
        prefix.extend_from_slice(part.as_bytes());
        prefix.push(SEPARATOR);
    }
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(group: &str, resource: &str, namespace: &str, name: &str) -> ResourceKey {
        ResourceKey::new(group, resource, namespace, name).unwrap()
    }

    fn nasty() -> Vec<ResourceKey> {
        vec![
            key("", "a", "", "b"),
            key("", "a", "b", "c"),
            key("g", "r", "", "n"),
            key("g", "r", "a", "n"),
            key("g", "r", "a ", "n"),
            key("g", "r", "a!", "n"),
            key("g", "r", "a-b", "n"),
            key("g", "r", "a", "n "),
            key("g", "r", "a", "N"),
            key("g", "r", "ä😀", "\u{10ffff}"),
            key("g", "rr", "a", "n"),
            key("g ", "r", "a", "n"),
        ]
    }

    #[test]
    fn stored_keys_sort_as_keys_do() {
        for a in nasty() {
            for b in nasty() {
                assert_eq!(a.cmp(&b), encode(&a).cmp(&encode(&b)), "{a} and {b}");
            }
        }
    }

    #[test]
    fn stored_keys_come_back() {
        for key in nasty() {
            assert_eq!(decode(&encode(&key)).unwrap(), key);
        }
        let long = "x".repeat(253);
        let longest = key(&long, &long, &long, &long);
        // The length of the column where columns have one.
        assert_eq!(encode(&longest).len(), 1015);
    }

    #[test]
    fn a_range_holds_the_keys_of_its_scope() {
        let scopes = [
            Scope::All,
            Scope::group("g"),
            Scope::group(""),
            Scope::resource("g", "r"),
            Scope::namespace("g", "r", "a"),
            Scope::namespace("g", "r", ""),
            Scope::Object(key("g", "r", "a", "n")),
        ];
        for scope in scopes {
            let range = KeyRange::of(&scope);
            for key in nasty() {
                let stored = encode(&key);
                let inside = range.first <= stored && stored < range.end;
                assert_eq!(inside, scope.contains(&key), "{key} in {scope}");
            }
        }
    }

    #[test]
    fn malformed_stored_keys_are_corrupt() {
        for stored in [
            &b"a\tb\tc"[..],
            b"a\tb\tc\td\te",
            b"a\tb\tc\t\xff",
            b"a\t\tc\td",
        ] {
            assert!(decode(stored).is_err(), "{stored:?}");
        }
    }
}
