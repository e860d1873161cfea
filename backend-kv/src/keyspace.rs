//! Where everything is: the keys of all rows, in one ordered space.
//!
//! A key starts with the tag of its table. The parts of a [`ResourceKey`] follow each other, each
//! ended by a zero byte. Parts hold no control characters, so zero is below every byte of a part:
//! the bytes sort as the keys do, and no key is the beginning of another. Revisions are eight
//! bytes, most significant first.
//!
//! | tag | key | what the row holds |
//! |---|---|---|
//! | `c` | object | the newest revision of an object that exists |
//! | `d` | revision, object | when the object in the trash was deleted |
//! | `h` | object, revision | a revision that a later one replaced |
//! | `i` | object | a control record |
//! | `l` | revision, place in the transaction | a change: kind, object, revision before |
//! | `m` | name | the store's format and state |
//! | `n` | group, resource, namespace | how many objects exist |
//! | `t` | object | the deletion record of an object that does not exist |
//!
//! The newest revision of an object, deletion included, is in `c` or in `t`, all others are in
//! `h`. So a value is written once when it comes and once more when it is replaced.

use std::ops::Range;

use storage_core::{Error, ErrorKind, ResourceKey, Result, Revision, Scope};

const CURRENT: u8 = b'c';
const DELETED: u8 = b'd';
const HISTORY: u8 = b'h';
const INTERNAL: u8 = b'i';
const LOG: u8 = b'l';
const COUNT: u8 = b'n';
const TRASH: u8 = b't';

const END: u8 = 0;

/// The key of the row that says what this store is. Readable by every version of the format.
pub(crate) const FORMAT: &[u8] = b"mformat";
/// The key of the row with head, horizon and the number of changes.
pub(crate) const STATE: &[u8] = b"mstate";

/// The parts of a resource key as bytes: what the keys of all its rows share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ObjectBytes(Vec<u8>);

impl ObjectBytes {
    pub(crate) fn new(key: &ResourceKey) -> Self {
        Self(joined(&[
            key.group(),
            key.resource(),
            key.namespace(),
            key.name(),
        ]))
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn current(&self) -> Vec<u8> {
        tagged(CURRENT, &[&self.0])
    }

    pub(crate) fn internal(&self) -> Vec<u8> {
        tagged(INTERNAL, &[&self.0])
    }

    pub(crate) fn trash(&self) -> Vec<u8> {
        tagged(TRASH, &[&self.0])
    }

    pub(crate) fn deleted(&self, revision: Revision) -> Vec<u8> {
        tagged(DELETED, &[&revision.get().to_be_bytes(), &self.0])
    }

    pub(crate) fn history(&self, revision: Revision) -> Vec<u8> {
        tagged(HISTORY, &[&self.0, &revision.get().to_be_bytes()])
    }

    /// The history rows of the object with revisions from `revisions`, the end not included.
    pub(crate) fn history_range(&self, revisions: Range<Revision>) -> Range<Vec<u8>> {
        self.history(revisions.start)..self.history(revisions.end)
    }

    pub(crate) fn to_key(&self) -> Result<ResourceKey> {
        object(&self.0)
    }
}

/// The keys of a scope as a range of joined parts, to be put behind a tag.
#[derive(Clone, Debug)]
pub(crate) struct ObjectRange {
    /// The first object, if it is there.
    pub(crate) start: Vec<u8>,
    /// What all objects of the range start with.
    prefix: Vec<u8>,
}

impl ObjectRange {
    pub(crate) fn of(scope: &Scope) -> Self {
        let prefix = joined(&scope.parts());
        Self {
            start: prefix.clone(),
            prefix,
        }
    }

    /// Leaves out what is before `object`.
    pub(crate) fn starting_at(mut self, object: &ObjectBytes) -> Self {
        self.start.clone_from(&object.0);
        self
    }

    /// Leaves out `object` and what is before it.
    pub(crate) fn starting_after(mut self, object: &[u8]) -> Self {
        self.start = object.to_vec();
        self.start.push(END);
        self
    }

    pub(crate) fn contains(&self, object: &[u8]) -> bool {
        object.starts_with(&self.prefix) && object >= self.start.as_slice()
    }

    pub(crate) fn current(&self) -> Range<Vec<u8>> {
        self.tagged(CURRENT)
    }

    pub(crate) fn internal(&self) -> Range<Vec<u8>> {
        self.tagged(INTERNAL)
    }

    pub(crate) fn trash(&self) -> Range<Vec<u8>> {
        self.tagged(TRASH)
    }

    fn tagged(&self, tag: u8) -> Range<Vec<u8>> {
        tagged(tag, &[&self.start])..after_prefix(tagged(tag, &[&self.prefix]))
    }
}

/// The rows of all changes from a revision on.
pub(crate) fn log_from(revision: Revision) -> Range<Vec<u8>> {
    tagged(LOG, &[&revision.get().to_be_bytes()])..vec![LOG + 1]
}

pub(crate) fn log(revision: Revision, place: u16) -> Vec<u8> {
    tagged(LOG, &[&revision.get().to_be_bytes(), &place.to_be_bytes()])
}

/// The index rows of objects that were deleted at a revision or later, and not created again.
pub(crate) fn deleted_from(revision: Revision) -> Range<Vec<u8>> {
    tagged(DELETED, &[&revision.get().to_be_bytes()])..vec![DELETED + 1]
}

pub(crate) fn count(key: &ResourceKey) -> Vec<u8> {
    tagged(
        COUNT,
        &[&joined(&[key.group(), key.resource(), key.namespace()])],
    )
}

pub(crate) fn counts(scope: &Scope) -> Range<Vec<u8>> {
    let prefix = tagged(COUNT, &[&joined(&scope.parts())]);
    prefix.clone()..after_prefix(prefix)
}

/// All rows of one table, for the check.
pub(crate) mod table {
    use std::ops::Range;

    pub(crate) const CURRENT: Range<&[u8]> = b"c"..b"d";
    pub(crate) const DELETED: Range<&[u8]> = b"d"..b"e";
    pub(crate) const HISTORY: Range<&[u8]> = b"h"..b"i";
    pub(crate) const INTERNAL: Range<&[u8]> = b"i"..b"j";
    pub(crate) const LOG: Range<&[u8]> = b"l"..b"m";
    pub(crate) const META: Range<&[u8]> = b"m"..b"n";
    pub(crate) const COUNT: Range<&[u8]> = b"n"..b"o";
    pub(crate) const TRASH: Range<&[u8]> = b"t"..b"u";
    /// Between the tables; nothing is there.
    pub(crate) const GAPS: [Range<&[u8]>; 6] = [
        b""..b"c",
        b"e"..b"h",
        b"j"..b"l",
        b"o"..b"t",
        b"u"..b"\xff",
        b"\xff"..b"\xff\xff",
    ];
}

/// Splits the key of a `c`, `i` or `t` row.
pub(crate) fn parse_object_row(row: &[u8]) -> &[u8] {
    row.get(1..).unwrap_or_default()
}

/// Splits the key of a history row into object and revision.
pub(crate) fn parse_history_row(row: &[u8]) -> Result<(&[u8], Revision)> {
    let rest = parse_object_row(row);
    match rest.split_last_chunk() {
        Some((object, revision)) => Ok((object, Revision::new(u64::from_be_bytes(*revision)))),
        None => Err(malformed(row)),
    }
}

/// Splits the key of an index row of the trash into revision and object.
pub(crate) fn parse_deleted_row(row: &[u8]) -> Result<(Revision, &[u8])> {
    let rest = parse_object_row(row);
    match rest.split_first_chunk() {
        Some((revision, object)) => Ok((Revision::new(u64::from_be_bytes(*revision)), object)),
        None => Err(malformed(row)),
    }
}

/// Returns the revision of a change row.
pub(crate) fn parse_log_row(row: &[u8]) -> Result<Revision> {
    Ok(parse_deleted_row(row)?.0)
}

/// Splits the key of a count row into group, resource and namespace.
pub(crate) fn parse_count_row(row: &[u8]) -> Result<[&str; 3]> {
    split(parse_object_row(row)).ok_or_else(|| malformed(row))
}

/// Reads joined parts back.
pub(crate) fn object(bytes: &[u8]) -> Result<ResourceKey> {
    let [group, resource, namespace, name] = split(bytes).ok_or_else(|| malformed(bytes))?;
    ResourceKey::new(group, resource, namespace, name).map_err(|_| malformed(bytes))
}

/// A key or its row, for people.
pub(crate) fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn malformed(bytes: &[u8]) -> Error {
    let context = format!("the key \"{}\" is malformed", show(bytes));
    Error::new(ErrorKind::Corrupt, "read store", context)
}

fn joined(parts: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for part in parts {
        bytes.extend_from_slice(part.as_bytes());
        bytes.push(END);
    }
    bytes
}

fn split<const N: usize>(bytes: &[u8]) -> Option<[&str; N]> {
    let bytes = bytes.strip_suffix(&[END])?;
    let mut parts = bytes.split(|byte| *byte == END);
    let mut split = [""; N];
    for part in &mut split {
        *part = std::str::from_utf8(parts.next()?).ok()?;
    }
    parts.next().is_none().then_some(split)
}

fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    bytes.push(tag);
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes
}

/// The first key after all that start with `prefix`, which ends with a tag or a zero byte and so
/// never with the greatest byte.
fn after_prefix(mut prefix: Vec<u8>) -> Vec<u8> {
    if let Some(last) = prefix.last_mut() {
        *last += 1;
    }
    prefix
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(group: &str, resource: &str, namespace: &str, name: &str) -> ResourceKey {
        ResourceKey::new(group, resource, namespace, name).unwrap()
    }

    fn text(bytes: &[u8]) -> String {
        show(bytes)
    }

    #[test]
    fn rows_have_their_golden_keys() {
        let pod = key("", "pods", "default", "a");
        let object = ObjectBytes::new(&pod);
        let revision = Revision::new(0x0102);
        let golden = [
            (object.current(), r"c\x00pods\x00default\x00a\x00"),
            (object.internal(), r"i\x00pods\x00default\x00a\x00"),
            (object.trash(), r"t\x00pods\x00default\x00a\x00"),
            (
                object.history(revision),
                r"h\x00pods\x00default\x00a\x00\x00\x00\x00\x00\x00\x00\x01\x02",
            ),
            (
                object.deleted(revision),
                r"d\x00\x00\x00\x00\x00\x00\x01\x02\x00pods\x00default\x00a\x00",
            ),
            (
                log(revision, 3),
                r"l\x00\x00\x00\x00\x00\x00\x01\x02\x00\x03",
            ),
            (count(&pod), r"n\x00pods\x00default\x00"),
        ];
        for (bytes, golden) in golden {
            assert_eq!(text(&bytes), golden);
        }
    }

    #[test]
    fn damaged_keys_are_refused() {
        for bytes in [
            &b""[..],
            b"a",
            b"\0\0\0\0",
            b"g\0r\0n\0",
            b"g\0r\0n\0a",
            b"g\0r\0n\0a\0b\0",
            b"g\0r\0n\0\xff\0",
            b"g\0r\0n\0a/b\0",
        ] {
            assert!(object(bytes).is_err(), "{} was taken", text(bytes));
        }
    }

    /// Short parts of few letters, so that beginnings, ends and empty parts meet.
    fn part(least: usize) -> impl Strategy<Value = String> {
        let letters = prop::sample::select(vec!['!', '-', '.', 'a', 'b', '~', 'ü', '\u{10ffff}']);
        prop::collection::vec(letters, least..4).prop_map(|letters| letters.into_iter().collect())
    }

    fn any_key() -> impl Strategy<Value = ResourceKey> {
        let parts = (part(0), part(1), part(0), part(1));
        parts.prop_map(|(g, r, ns, n)| ResourceKey::new(g, r, ns, n).unwrap())
    }

    fn any_scope() -> impl Strategy<Value = Scope> {
        (any_key(), 0..5_usize).prop_map(|(key, parts)| match parts {
            0 => Scope::All,
            1 => Scope::group(key.group()),
            2 => Scope::resource(key.group(), key.resource()),
            3 => Scope::namespace(key.group(), key.resource(), key.namespace()),
            _ => Scope::Object(key),
        })
    }

    proptest! {
        // PROPTEST_CASES raises the number; a million pairs take about a minute.
        #![proptest_config(ProptestConfig::with_cases(cases()))]

        #[test]
        fn bytes_sort_as_keys_do(a in any_key(), b in any_key(), r in 0..4_u64, s in 0..4_u64) {
            let (r, s) = (Revision::new(r), Revision::new(s));
            let (x, y) = (ObjectBytes::new(&a), ObjectBytes::new(&b));
            prop_assert_eq!(a.cmp(&b), x.current().cmp(&y.current()));
            prop_assert_eq!((&a, r).cmp(&(&b, s)), x.history(r).cmp(&y.history(s)));
            prop_assert_eq!((r, &a).cmp(&(s, &b)), x.deleted(r).cmp(&y.deleted(s)));
            prop_assert_eq!(x.to_key().unwrap(), a);
            let row = y.history(s);
            prop_assert_eq!(parse_history_row(&row).unwrap(), (y.as_bytes(), s));
            if x != y {
                prop_assert!(!y.as_bytes().starts_with(x.as_bytes()));
            }
        }

        #[test]
        fn a_range_holds_its_scope_and_nothing_else(
            scope in any_scope(), key in any_key(), other in any_key(),
        ) {
            let object = ObjectBytes::new(&key);
            let range = ObjectRange::of(&scope);
            prop_assert_eq!(range.current().contains(&object.current()), scope.contains(&key));
            prop_assert_eq!(range.contains(object.as_bytes()), scope.contains(&key));
            let after = range.starting_after(ObjectBytes::new(&other).as_bytes());
            let expected = scope.contains(&key) && key > other;
            prop_assert_eq!(after.contains(object.as_bytes()), expected);
            if scope.contains(&other) {
                prop_assert_eq!(after.current().contains(&object.current()), expected);
            }
        }
    }

    fn cases() -> u32 {
        ProptestConfig::default().cases.max(20_000)
    }
}
