use storage_core::{ListQuery, Result, StorageBackend};

use crate::record::{Keys, ModeRecord, from_json};
use crate::{Kind, Mode};

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
    let keys = Keys::new(space);
    let mut query = ListQuery::live(keys.all_modes());
    let mut modes = Vec::new();
    loop {
        let page = store.list(&query).await?;
        for stored in &page.items {
            if stored.key == keys.default_mode() {
                continue;
            }
            let record: ModeRecord = from_json(stored)?;
            let change = record.change.as_ref();
            modes.push(StoredMode {
                kind: record.kind(),
                mode: record.mode()?,
                changing_to: change
                    .map(|change| Mode::from_number(change.to))
                    .transpose()?,
            });
        }
        match page.next {
            Some(cursor) => query = query.after(cursor),
            None => return Ok(modes),
        }
    }
}
