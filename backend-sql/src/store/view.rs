use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use storage_core::{ResourceKey, Revision, Transaction};

use super::failure::Attempt;
use super::key;
use super::record::bytes;
use super::session::{Param, Session};
use super::state::revision;
use super::statements::{Statements, repeated};

/// What a commit has to know of the store: the newest revision, and what is stored under the keys
/// that the commit names.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// The newest revision. Nothing in this view is older than it shows.
    pub(crate) head: Revision,
    /// Whether all of it comes from one snapshot, that of `head`.
    pub(crate) is_snapshot: bool,
    known: HashMap<Vec<u8>, Known>,
}

/// What is stored under one key.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    pub(crate) current: Option<Current>,
    pub(crate) is_in_trash: bool,
}

/// The object that exists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current {
    pub(crate) revision: Revision,
    pub(crate) created: Revision,
}

impl View {
    /// Reads it, without any lock.
    pub(crate) async fn read<S: Session>(
        session: &mut S,
        statements: &Statements,
        keys: &KeysOfCommit<'_>,
    ) -> Attempt<Self> {
        let KeysOfCommit { objects, control } = keys;
        let mut view = Self::default();
        let mut heads = BTreeSet::new();
        let (sql, keys, times, one) = match (objects.as_slice(), control.as_slice()) {
            ([], control) => (&statements.view_of_control, control.to_vec(), 1, None),
            (objects, []) => (&statements.view, objects.to_vec(), 2, Some(&[][..])),
            (objects, [one]) => (&statements.view, objects.to_vec(), 2, Some(*one)),
            (objects, control) => (
                &statements.view_of_both,
                [objects, control].concat(),
                3,
                None,
            ),
        };
        // Without keys the counter alone is read.
        let mut chunks: Vec<&[&[u8]]> =
            keys.chunks(sql.keys_max().min(keys.len().max(1))).collect();
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        for chunk in chunks {
            let (sql, set) = sql.of(chunk);
            let mut params = repeated(&set, times);
            params.extend(one.map(Param::Bytes));
            session
                .query(sql, &params, &mut |row| {
                    match row.int(0)? {
                        0 => drop(heads.insert(revision(row.int(2)?))),
                        2 => view.entry(bytes(row, 1)?).is_in_trash = true,
                        _ => {
                            view.entry(bytes(row, 1)?).current = Some(Current {
                                revision: revision(row.int(2)?),
                                created: revision(row.int(3)?),
                            });
                        }
                    }
                    Ok(ControlFlow::Continue(()))
                })
                .await?;
        }
        view.head = heads.first().copied().unwrap_or_default();
        view.is_snapshot = heads.len() == 1;
        Ok(view)
    }

    /// Returns what is stored under a stored key.
    pub(crate) fn known(&self, stored: &[u8]) -> Known {
        self.known.get(stored).copied().unwrap_or_default()
    }

    fn entry(&mut self, stored: &[u8]) -> &mut Known {
        self.known.entry(stored.to_vec()).or_default()
    }
}

/// The stored keys that transactions name, each once, in order.
#[derive(Debug)]
pub(crate) struct KeysOfCommit<'a> {
    /// Keys of objects.
    objects: Vec<&'a [u8]>,
    /// Keys of the internal group.
    control: Vec<&'a [u8]>,
}

impl<'a> KeysOfCommit<'a> {
    /// Returns those of these transactions.
    pub(crate) fn new(transactions: &'a [Transaction]) -> Self {
        let keys: BTreeSet<&ResourceKey> = transactions
            .iter()
            .flat_map(|transaction| &transaction.writes)
            .map(|write| &write.key)
            .collect();
        let (control, objects): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|key| key.is_internal());
        let stored = |keys: Vec<&'a ResourceKey>| keys.into_iter().map(key::stored).collect();
        Self {
            objects: stored(objects),
            control: stored(control),
        }
    }
}
