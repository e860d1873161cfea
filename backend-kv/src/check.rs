//! Verifies a whole store, row by row, in passes over one view.

mod changes;
mod history;
mod objects;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{ControlFlow, Range};

use bytes::Bytes;
use storage_core::{ErrorKind, Result, Revision};

use crate::engine::{Direction, KvEngine, KvView};
use crate::keyspace::{self, show, table};
use crate::record::{CountHeader, State, unseal};
use crate::store::Store;

/// What a check found. Clean if nothing disagrees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// The newest revision.
    pub head: Revision,
    /// Changes and reads below it are expired.
    pub horizon: Revision,
    /// Objects that exist.
    pub objects: u64,
    /// Deleted objects in the trash.
    pub trash: u64,
    /// Revisions that later ones replaced.
    pub history: u64,
    /// Control records.
    pub internal: u64,
    /// Change records.
    pub changes: u64,
    /// Everything that is not as it must be.
    pub disagreements: Vec<Disagreement>,
}

impl CheckReport {
    /// Tells whether nothing disagrees.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.disagreements.is_empty()
    }
}

/// Something in a store that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// The key of the row, with unprintable bytes escaped.
    pub row: String,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row \"{}\": {}", self.row, self.what)
    }
}

impl<E: KvEngine> Store<E> {
    pub(crate) fn check(&self) -> Result<CheckReport> {
        let (view, state) = self.view("check")?;
        let mut check = Check {
            view: &view,
            state,
            report: CheckReport {
                head: Revision::new(state.head),
                horizon: Revision::new(state.horizon),
                ..CheckReport::default()
            },
            counts: BTreeMap::new(),
            records_above_horizon: 0,
        };
        check.objects()?;
        check.internal()?;
        check.trash()?;
        check.trash_index()?;
        check.history()?;
        check.changes()?;
        check.counts()?;
        check.strangers()?;
        Ok(check.report)
    }
}

struct Check<'v, V> {
    view: &'v V,
    state: State,
    report: CheckReport,
    /// Objects that were found, by the key of the row that counts them.
    counts: BTreeMap<Vec<u8>, u64>,
    /// Each of them must have a change.
    records_above_horizon: u64,
}

impl<V: KvView> Check<'_, V> {
    fn counts(&mut self) -> Result<()> {
        let mut expected = std::mem::take(&mut self.counts);
        self.each_row(table::COUNT, |check, key, row| {
            let (header, _) = unseal::<CountHeader>(key, row)?;
            let found = expected.remove(key).unwrap_or_default();
            if header.objects != found || found == 0 {
                let what = format!("counts {} objects, there are {found}", header.objects);
                check.disagree(key, what);
            }
            Ok(())
        })?;
        for (key, found) in expected {
            self.disagree(&key, format!("is missing, there are {found} objects"));
        }
        Ok(())
    }

    /// Rows that belong to no table.
    fn strangers(&mut self) -> Result<()> {
        self.each_row(table::META, |check, key, _| {
            if key != keyspace::FORMAT && key != keyspace::STATE {
                check.disagree(key, "is not known");
            }
            Ok(())
        })?;
        for gap in table::GAPS {
            self.each_row(gap, |check, key, _| {
                check.disagree(key, "is in no table");
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Looks at each row of a range. A row that cannot be read disagrees; the next is looked at.
    fn each_row(
        &mut self,
        range: Range<&[u8]>,
        mut look: impl FnMut(&mut Self, &[u8], &Bytes) -> Result<()>,
    ) -> Result<()> {
        let view = self.view;
        view.scan(range, Direction::Forward, &mut |key, row| {
            match look(self, key, &Bytes::copy_from_slice(row)) {
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    self.disagree(key, error.context());
                }
                other => other?,
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    fn disagree(&mut self, row_key: &[u8], what: impl Into<String>) {
        self.report.disagreements.push(Disagreement {
            row: show(row_key),
            what: what.into(),
        });
    }

    /// Reports unless it holds.
    fn expect(&mut self, row_key: &[u8], holds: bool, what: &str) {
        if !holds {
            self.disagree(row_key, what);
        }
    }
}
