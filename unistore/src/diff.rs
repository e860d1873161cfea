//! Compares two stores: everything that users can see but revisions.

use std::cmp::Ordering;
use std::fmt;
use std::pin::pin;

use futures::{Stream, StreamExt};
use storage_core::{
    ChangeKind, ListQuery, Order, ResourceKey, Result, Scope, Source, StorageBackend, Stored,
};

use crate::copy::PLACEHOLDER;
use crate::scan::scan;

/// One difference between two stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The object.
    pub key: ResourceKey,
    /// Which of the object's records.
    pub record: Record,
    /// What differs.
    pub what: What,
}

/// One of an object's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// The object itself.
    Live,
    /// Its deletion record.
    Trash,
    /// A revision of it: the first one that is kept is number 1.
    History(usize),
}

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Only the first store has the record.
    OnlyInFirst,
    /// Only the second store has the record.
    OnlyInSecond,
    /// The values have different bytes.
    Value,
    /// One was a creation, the other an update, or one a deletion.
    Kind,
    /// The times of the commits differ.
    Time,
    /// The requests that the records came from differ.
    Operation,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.key)?;
        match self.record {
            Record::Live => f.write_str("object"),
            Record::Trash => f.write_str("deletion record"),
            Record::History(number) => write!(f, "revision {number} of its history"),
        }?;
        f.write_str(match self.what {
            What::OnlyInFirst => " only in the first store",
            What::OnlyInSecond => " only in the second store",
            What::Value => " has different values",
            What::Kind => " came from different kinds of writes",
            What::Time => " has different times",
            What::Operation => " came from different requests",
        })
    }
}

/// Compares live objects, trash and history of two stores, and hands over each difference.
///
/// Revisions are not compared, and neither is whether the first revision that is kept of an object
/// was a creation: what came before it may have been dropped in one store and not in the other.
/// Control records are not compared. Both stores should be at rest.
///
/// # Errors
/// As [`StorageBackend::list`].
pub async fn diff(
    first: &dyn StorageBackend,
    second: &dyn StorageBackend,
    mut found: impl FnMut(Difference) + Send,
) -> Result<()> {
    for query in [
        ListQuery::live(Scope::All),
        ListQuery::trash(Scope::All),
        ListQuery::history(Scope::All, Order::Ascending),
    ] {
        let first = numbered(scan(first, query.clone()));
        let second = numbered(scan(second, query.clone()));
        compare(query.source, first, second, &mut found).await?;
    }
    Ok(())
}

/// A record and its number among those of its object.
type Numbered = (usize, Stored);

async fn compare(
    source: Source,
    first: impl Stream<Item = Result<Numbered>> + Send,
    second: impl Stream<Item = Result<Numbered>> + Send,
    found: &mut (impl FnMut(Difference) + Send),
) -> Result<()> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let mut left = first.next().await.transpose()?;
    let mut right = second.next().await.transpose()?;
    loop {
        let order = match (&left, &right) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((m, a)), Some((n, b))) => (&a.key, m).cmp(&(&b.key, n)),
        };
        for (what, side) in [(What::OnlyInFirst, &left), (What::OnlyInSecond, &right)] {
            let alone = match order {
                Ordering::Less => what == What::OnlyInFirst,
                Ordering::Greater => what == What::OnlyInSecond,
                Ordering::Equal => false,
            };
            if let (true, Some((number, stored))) = (alone, side) {
                found(difference(source, *number, stored, what));
            }
        }
        if let (Ordering::Equal, Some((number, a)), Some((_, b))) = (order, &left, &right) {
            for what in unequal(source, *number, a, b) {
                found(difference(source, *number, a, what));
            }
        }
        if order != Ordering::Greater {
            left = first.next().await.transpose()?;
        }
        if order != Ordering::Less {
            right = second.next().await.transpose()?;
        }
    }
}

fn difference(source: Source, number: usize, stored: &Stored, what: What) -> Difference {
    let record = match source {
        Source::Live => Record::Live,
        Source::Trash => Record::Trash,
        Source::History => Record::History(number),
    };
    Difference {
        key: stored.key.clone(),
        record,
        what,
    }
}

fn unequal(source: Source, number: usize, a: &Stored, b: &Stored) -> Vec<What> {
    // A live object's kind is that of its last revision: the history shows it.
    let kinds_count = source == Source::History;
    let mut unequal = Vec::new();
    if kinds_count && kind(number, a) != kind(number, b) {
        unequal.push(What::Kind);
    }
    if a.value != b.value {
        unequal.push(What::Value);
    }
    if a.time != b.time {
        unequal.push(What::Time);
    }
    if a.operation != b.operation {
        unequal.push(What::Operation);
    }
    unequal
}

fn kind(number: usize, stored: &Stored) -> ChangeKind {
    match stored.kind {
        ChangeKind::Created if number == 1 => ChangeKind::Updated,
        kind => kind,
    }
}

/// Numbers the records of each object, leaving out what a copy had to make up.
fn numbered(records: impl Stream<Item = Result<Stored>>) -> impl Stream<Item = Result<Numbered>> {
    let mut last: Option<(ResourceKey, usize)> = None;
    records.filter_map(move |stored| {
        let numbered = stored.map(|stored| {
            if stored.operation == PLACEHOLDER {
                return None;
            }
            let number = match &last {
                Some((key, number)) if *key == stored.key => number + 1,
                Some(_) | None => 1,
            };
            last = Some((stored.key.clone(), number));
            Some((number, stored))
        });
        std::future::ready(numbered.transpose())
    })
}
