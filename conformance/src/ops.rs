//! Random operations on a store: for proptest, with shrinking, and for fuzzers, from bytes.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use storage_core::{Order, Source};

/// The bytes of one operation. To remove a chunk is to remove an operation, and smaller bytes make
/// simpler operations, so that shrinking bytes shrinks operations.
pub const OP_BYTES: usize = 16;

/// Objects and control records that operations work on.
pub const KEYS: u8 = 8;

/// One operation on a store. Keys, scopes and revisions are small numbers: the run knows what they
/// stand for, so that an operation has a meaning for every store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Commits transactions in one call.
    Commit(Vec<Plan>),
    /// Reads an object.
    Get {
        /// The object.
        key: u8,
        /// The revision.
        at: At,
    },
    /// Reads a list: the first page of the live objects, or all pages of another source.
    List {
        /// The scope.
        scope: ScopeOf,
        /// The source.
        source: Source,
        /// The order of a history.
        order: Order,
        /// The revision of a live list.
        at: At,
        /// Items on a page.
        limit: Option<usize>,
        /// Bytes on a page.
        limit_bytes: Option<usize>,
    },
    /// Reads the next page of the last live list, at whatever happened since.
    NextPage,
    /// Reads changes.
    Changes {
        /// The scope.
        scope: ScopeOf,
        /// The revision.
        after: At,
        /// Changes in the answer.
        limit: Option<usize>,
        /// Bytes in the answer.
        limit_bytes: Option<usize>,
    },
    /// Compacts.
    Compact(Compaction),
    /// Reads counts.
    Stats(ScopeOf),
    /// Lets time pass.
    Advance(Duration),
    /// Closes the store and opens it again.
    Reopen,
}

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its writes. A key may occur twice, which is refused.
    pub writes: Vec<WritePlan>,
    /// How far it raises the store's revision.
    pub raise: Option<u8>,
    /// How old its time is, if it has one.
    pub age: Option<Duration>,
}

/// One write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WritePlan {
    /// The object.
    pub key: u8,
    /// What must be true of it.
    pub expect: Expect,
    /// What is done.
    pub action: Action,
}

/// What must be true of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// It does not exist.
    Absent,
    /// It exists.
    Present,
    /// It is at the revision that it has.
    Newest,
    /// It is at this revision, which is hardly ever true.
    At(At),
}

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Puts a value of about this many bytes.
    Put(u16),
    /// Deletes.
    Delete,
    /// Checks.
    Check,
}

/// A revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The newest, by saying nothing.
    Newest,
    /// One of those that the run saw, counted back from the newest.
    Back(u8),
    /// One that is not there yet.
    Future,
}

/// A scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeOf {
    /// Everything.
    All,
    /// The group of the run.
    Group,
    /// The resource of an object.
    Resource(u8),
    /// The namespace of an object.
    Namespace(u8),
    /// An object.
    Object(u8),
}

/// A step of compaction, or all steps until nothing is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// Changes that are kept.
    pub changes_max: Option<u64>,
    /// The age up to which changes are kept.
    pub changes_age_min: Duration,
    /// The age up from which changes are dropped.
    pub changes_age_max: Option<Duration>,
    /// Revisions of each object that are kept.
    pub history_per_object: Option<usize>,
    /// The age up from which deleted objects are dropped.
    pub trash_age_max: Option<Duration>,
    /// Records that a step looks at.
    pub step_max: usize,
    /// How far it goes.
    pub steps: Steps,
}

/// How far a compaction goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    /// One step.
    One,
    /// Until nothing is left to do.
    All,
}

/// Returns a strategy for up to `count_max` operations.
pub fn ops(count_max: usize) -> impl Strategy<Value = Vec<Op>> {
    vec(any::<[u8; OP_BYTES]>(), 1..=count_max)
        .prop_map(|chunks| chunks.iter().map(|chunk| op_from_bytes(*chunk)).collect())
}

/// Reads operations from bytes, all of which mean something; a rest shorter than an operation is
/// filled with zeros.
#[must_use]
pub fn ops_from_bytes(bytes: &[u8]) -> Vec<Op> {
    let filled = |chunk: &[u8]| {
        let mut filled = [0; OP_BYTES];
        filled[..chunk.len()].copy_from_slice(chunk);
        filled
    };
    bytes
        .chunks(OP_BYTES)
        .map(|chunk| op_from_bytes(filled(chunk)))
        .collect()
}

fn op_from_bytes(bytes: [u8; OP_BYTES]) -> Op {
    let [kind, a, b, c, d, e, f, ..] = bytes;
    match kind % 32 {
        0..=13 => Op::Commit(plans(bytes)),
        14..=16 => Op::Get {
            key: a % KEYS,
            at: at(b),
        },
        17..=20 => list(bytes),
        21..=22 => Op::NextPage,
        23..=25 => Op::Changes {
            scope: scope(a),
            after: match at(b) {
                At::Newest => At::Back(b),
                other => other,
            },
            limit: limit(c),
            limit_bytes: limit_bytes(d),
        },
        26..=28 => Op::Compact(Compaction {
            changes_max: (a % 4 != 3).then_some(u64::from(a / 32)),
            changes_age_min: hours(b % 4 / 3),
            changes_age_max: c.is_multiple_of(3).then(|| hours(c / 3 % 8)),
            history_per_object: (d % 4 != 3).then_some(usize::from(d % 4)),
            trash_age_max: (e % 4 != 3).then(|| hours(e % 4 * (e / 4 % 3))),
            step_max: 1 + usize::from(f / 2),
            steps: if f % 2 == 0 { Steps::All } else { Steps::One },
        }),
        29 => Op::Stats(scope(a)),
        // A store that keeps nothing starts anew when it is opened again.
        31 if a < 128 => Op::Reopen,
        _ => Op::Advance(Duration::from_secs(u64::from(a) * 120)),
    }
}

fn list(bytes: [u8; OP_BYTES]) -> Op {
    let [_, a, b, c, d, e, f, ..] = bytes;
    let source = match a % 4 {
        0 | 1 => Source::Live,
        2 => Source::History,
        _ => Source::Trash,
    };
    Op::List {
        scope: scope(b),
        source,
        order: if c % 2 == 0 || source != Source::History {
            Order::Ascending
        } else {
            Order::Descending
        },
        at: if source == Source::Live {
            at(d)
        } else {
            At::Newest
        },
        limit: limit(e),
        limit_bytes: limit_bytes(f),
    }
}

/// Up to three transactions of together up to six writes.
fn plans(bytes: [u8; OP_BYTES]) -> Vec<Plan> {
    let [_, a, b, c, ..] = bytes;
    let mut writes = bytes[4..].chunks_exact(2).map(|two| write(two[0], two[1]));
    (0..=a % 3)
        .map(|number| Plan {
            writes: writes
                .by_ref()
                .take(usize::from(b >> (2 * number) & 3))
                .collect(),
            raise: (c % 8 == 7).then_some(c / 8),
            age: (a / 3 % 8 == 7).then(|| hours(c % 5)),
        })
        .collect()
}

fn write(what: u8, how: u8) -> WritePlan {
    WritePlan {
        key: what % KEYS,
        expect: match what / KEYS % 8 {
            0..=2 => Expect::Any,
            3 => Expect::Absent,
            4 => Expect::Present,
            5 | 6 => Expect::Newest,
            _ => Expect::At(At::Back(how / 32)),
        },
        action: match how % 8 {
            0..=3 => Action::Put(u16::from(how / 8)),
            4 => Action::Put(u16::from(how / 8) * 100),
            5 | 6 => Action::Delete,
            _ => Action::Check,
        },
    }
}

fn at(byte: u8) -> At {
    match byte % 8 {
        0..=2 => At::Newest,
        7 if byte > 200 => At::Future,
        _ => At::Back(byte / 8),
    }
}

fn scope(byte: u8) -> ScopeOf {
    let key = byte / 8 % KEYS;
    match byte % 8 {
        0 | 1 => ScopeOf::All,
        2 | 3 => ScopeOf::Group,
        4 => ScopeOf::Resource(key),
        5 | 6 => ScopeOf::Namespace(key),
        _ => ScopeOf::Object(key),
    }
}

fn limit(byte: u8) -> Option<usize> {
    (!byte.is_multiple_of(4)).then_some(usize::from(byte / 4 % 8))
}

fn limit_bytes(byte: u8) -> Option<usize> {
    (byte % 4 == 3).then_some(usize::from(byte))
}

fn hours(count: u8) -> Duration {
    Duration::from_secs(u64::from(count) * 3_600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_mean_something() {
        assert_eq!(ops_from_bytes(&[]), []);
        for byte in 0..=255 {
            assert_eq!(ops_from_bytes(&[byte; OP_BYTES + 1]).len(), 2);
        }
    }

    #[test]
    fn every_operation_can_be_said() {
        let mut seen = std::collections::BTreeSet::new();
        for kind in 0..=255 {
            for op in ops_from_bytes(&[kind, 1, 2, 3, 4, 5, 6]) {
                let text = format!("{op:?}");
                seen.insert(text.split([' ', '(']).next().unwrap().to_owned());
            }
        }
        assert_eq!(seen.len(), 9, "{seen:?}");
    }
}
