//! Which store of a migration is which. It is written down in both, because to swap them, or to use
//! one of them alone, would make every client see the wrong objects.

use anyhow::{Result, bail};
use dualwriter::{Kind, Mode, SPACE, Side, StoredMode, stored_modes};
use serde::{Deserialize, Serialize};
use storage_core::{Precondition, ResourceKey, StorageBackend, StorageBackendExt, Transaction};
use unistore::StoreUrl;

use crate::unified_storage::kinds;

/// What a store is in a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    Legacy,
    Unified,
}

#[derive(Serialize, Deserialize)]
struct Record {
    part: Part,
}

impl From<Side> for Part {
    fn from(side: Side) -> Self {
        match side {
            Side::Legacy => Self::Legacy,
            Side::Unified => Self::Unified,
        }
    }
}

/// Makes a store one of the two of a migration, or refuses if it is or was the other one.
pub(crate) async fn claim(store: &dyn StorageBackend, side: Side, url: &StoreUrl) -> Result<()> {
    let part = Part::from(side);
    match read(store).await? {
        Some(known) if known == part => Ok(()),
        Some(_) => bail!(
            "{url} cannot be the {side} store: it is, or was, the {} one of a migration. Are \
             --legacy and --store swapped? For another migration take a copy of it, made by \
             `unistore copy`",
            side.other()
        ),
        None => {
            let record = serde_json::to_vec(&Record { part })?;
            let create = Transaction::put(key()?, Precondition::Absent, record);
            // If another process was faster, it is the same one or is refused in its turn.
            store.commit_one(create).await?;
            match read(store).await? {
                Some(known) if known == part => Ok(()),
                Some(_) | None => bail!("{url} is being made the {} store", side.other()),
            }
        }
    }
}

/// Refuses to use a store alone while kinds are, in part, in the other store of a migration.
pub(crate) async fn check_alone(store: &dyn StorageBackend, url: &StoreUrl) -> Result<()> {
    let Some(part) = read(store).await? else {
        return Ok(());
    };
    let stored = stored_modes(store, SPACE).await?;
    let elsewhere = kinds()
        .into_iter()
        .find_map(|kind| elsewhere(part, kind, &stored));
    match (part, elsewhere) {
        (_, None) => Ok(()),
        (Part::Legacy, Some((kind, mode))) => bail!(
            "{url} is the legacy store of a migration, and {kind} is in mode {mode}: alone it \
             would miss writes. Serve it with --legacy, beside the other store, or roll back to \
             mode 0 first"
        ),
        (Part::Unified, Some((kind, mode))) => bail!(
            "{url} is the unified store of a migration, and {kind} is in mode {mode}: alone it \
             would miss objects or writes. Serve it beside --legacy, or promote to mode 4 first"
        ),
    }
}

/// Returns a kind and its mode if its objects, or writes of it, belong into the other store.
fn elsewhere(part: Part, kind: Kind, stored: &[StoredMode]) -> Option<(Kind, Mode)> {
    let found = stored.iter().find(|stored| stored.kind == kind);
    let mode = found.map_or(Mode::Zero, |stored| stored.mode);
    let changing = found.is_some_and(|stored| stored.changing_to.is_some());
    let is_here = match part {
        Part::Legacy => mode <= Mode::One,
        Part::Unified => mode >= Mode::Four,
    };
    (changing || !is_here).then_some((kind, mode))
}

async fn read(store: &dyn StorageBackend) -> Result<Option<Part>> {
    let stored = store.get(&key()?, None).await?;
    let record = stored.map(|stored| serde_json::from_slice::<Record>(&stored.value));
    Ok(record.transpose()?.map(|record| record.part))
}

fn key() -> storage_core::Result<ResourceKey> {
    ResourceKey::internal("migrations", "", "part")
}

#[cfg(test)]
mod tests {
    use storage_core::Memory;

    use super::*;

    #[tokio::test]
    async fn a_store_keeps_its_part() {
        let store = Memory::new();
        let url: StoreUrl = "memory:".parse().unwrap();
        check_alone(&store, &url).await.unwrap();
        for _ in 0..2 {
            claim(&store, Side::Legacy, &url).await.unwrap();
        }
        let error = claim(&store, Side::Unified, &url).await.unwrap_err();
        assert!(error.to_string().contains("swapped"), "{error}");
        check_alone(&store, &url).await.unwrap();
    }

    #[test]
    fn a_kind_is_where_its_mode_says() {
        for mode in Mode::ALL {
            for changing_to in [None, Some(Mode::Two)] {
                let kind: Kind = "a.b".parse().unwrap();
                let stored = StoredMode {
                    kind: kind.clone(),
                    mode,
                    changing_to,
                };
                let away = |part| elsewhere(part, kind.clone(), std::slice::from_ref(&stored));
                let steady = changing_to.is_none();
                let in_legacy = steady && mode.number() <= 1;
                assert_eq!(away(Part::Legacy).is_none(), in_legacy, "{mode}");
                let in_unified = steady && mode.number() >= 4;
                assert_eq!(away(Part::Unified).is_none(), in_unified, "{mode}");
            }
        }
        let unknown: Kind = "a.b".parse().unwrap();
        assert!(elsewhere(Part::Legacy, unknown.clone(), &[]).is_none());
        assert!(elsewhere(Part::Unified, unknown, &[]).is_some());
    }
}
