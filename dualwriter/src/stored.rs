use std::collections::{BTreeMap, BTreeSet};

use storage_core::{ListQuery, Result, StorageBackend};

use crate::record::{Keys, ModeRecord, from_json};
use crate::{Kind, Mode, Side};

/// What the control records of one store alone say of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMode {
    /// The kind.
    pub kind: Kind,
    /// The mode that was in force when the store was told last.
    pub mode: Mode,
    /// The mode that a change in progress leads to.
    pub changing_to: Option<Mode>,
}

/// Reads what a store knows of the modes of kinds, without a dual writer: for whoever is about to
/// use the store alone. Legacy says 4 for a kind that went on to 5; a store that has no part in a
/// mode may not have heard of changes between such modes.
///
/// # Errors
/// As the store says.
pub async fn stored_modes(store: &dyn StorageBackend, space: &str) -> Result<Vec<StoredMode>> {
    let stored = |record: &ModeRecord| {
        let change = record.change.as_ref();
        Ok(StoredMode {
            kind: record.kind(),
            mode: record.mode()?,
            changing_to: change
                .map(|change| Mode::from_number(change.to))
                .transpose()?,
        })
    };
    let records = Records::read(store, space).await?;
    records.by_kind.values().map(stored).collect()
}

/// A store that does not know of a change of mode that the other one could only know of after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outdated {
    /// The store that is out of date, such as one that was restored from a backup.
    pub side: Side,
    /// The kind whose mode tells.
    pub kind: Kind,
    /// The mode of the kind by the store that is out of date.
    pub mode: Mode,
    /// The mode of the kind by the other store.
    pub newer: Mode,
}

/// Tells whether one of two stores is older than the other: a dual writer on them would believe it,
/// and with it that objects do not exist which the other one has. Finds only what changes of mode
/// tell: whether the objects are of one time nothing but a verification can say.
///
/// # Errors
/// As the stores say.
pub async fn outdated(
    legacy: &dyn StorageBackend,
    unified: &dyn StorageBackend,
    space: &str,
) -> Result<Option<Outdated>> {
    // A mode may change while this reads: legacy is read before unified and after it.
    let before = Records::read(legacy, space).await?;
    let in_unified = Records::read(unified, space).await?;
    let after = Records::read(legacy, space).await?;
    let kinds: BTreeSet<&Kind> = before
        .by_kind
        .keys()
        .chain(in_unified.by_kind.keys())
        .collect();
    for kind in kinds {
        let default = before.default.as_ref().or(in_unified.default.as_ref());
        let unified = in_unified.of(kind, default);
        // What legacy knew earlier says nothing against legacy, nor what it knows by now against unified.
        let (early, late) = (before.of(kind, default), after.of(kind, default));
        let found = match (older(&early, &unified)?, older(&late, &unified)?) {
            (Some(Side::Unified), _) => Some((Side::Unified, &unified, &early)),
            (_, Some(Side::Legacy)) => Some((Side::Legacy, &late, &unified)),
            _ => None,
        };
        if let Some((side, old, new)) = found {
            return Ok(Some(Outdated {
                side,
                kind: kind.clone(),
                mode: old.mode()?,
                newer: new.mode()?,
            }));
        }
    }
    Ok(None)
}

/// Returns the store whose copy of a mode record is too old to be of the same time as the other.
///
/// A change is recorded in the home of the mode that it leaves, then in the other store if that has a
/// part in it, and the mode that it led to in the same order. So the home is never behind, but
/// for the last step of a change of home: there it is one epoch behind.
fn older(legacy: &ModeRecord, unified: &ModeRecord) -> Result<Option<Side>> {
    let homes = (legacy.mode()?.home(), unified.mode()?.home());
    let (legacy, unified) = (legacy.epoch, unified.epoch);
    Ok(match homes {
        (Side::Legacy, _) if unified > legacy => Some(Side::Legacy),
        (_, Side::Unified) if legacy > unified => Some(Side::Unified),
        (Side::Unified, Side::Legacy) if unified > legacy + 1 => Some(Side::Legacy),
        (Side::Unified, Side::Legacy) if legacy > unified + 1 => Some(Side::Unified),
        _ => None,
    })
}

/// The mode records of one store.
pub(crate) struct Records {
    default: Option<ModeRecord>,
    pub(crate) by_kind: BTreeMap<Kind, ModeRecord>,
}

impl Records {
    pub(crate) async fn read(store: &dyn StorageBackend, space: &str) -> Result<Self> {
        let keys = Keys::new(space);
        let mut query = ListQuery::live(keys.all_modes());
        let mut records = Self {
            default: None,
            by_kind: BTreeMap::new(),
        };
        loop {
            let page = store.list(&query).await?;
            for stored in &page.items {
                let record: ModeRecord = from_json(stored)?;
                if stored.key == keys.default_mode() {
                    records.default = Some(record);
                } else {
                    records.by_kind.insert(record.kind(), record);
                }
            }
            match page.next {
                Some(cursor) => query = query.after(cursor),
                None => return Ok(records),
            }
        }
    }

    /// Returns what the store knows of a kind, or else of kinds of which nothing is known.
    fn of(&self, kind: &Kind, default: Option<&ModeRecord>) -> ModeRecord {
        let known = self.by_kind.get(kind).or(default).cloned();
        known.unwrap_or_else(|| ModeRecord::first(Mode::Zero))
    }
}
