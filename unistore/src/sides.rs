//! Which store of a migration is which. It is written down in both, because to swap them, or to use
//! one of them alone, would make every client see the wrong objects.

use anyhow::{Context, Result, bail};
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

/// What a store knows of the migration that it is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    part: Part,
    /// The same in both stores, and in no store of another migration.
    pair: String,
}

impl From<Side> for Part {
    fn from(side: Side) -> Self {
        match side {
            Side::Legacy => Self::Legacy,
            Side::Unified => Self::Unified,
        }
    }
}

/// A store and what it is called.
pub(crate) type Named<'a> = (&'a dyn StorageBackend, &'a StoreUrl);

/// Makes two stores those of one migration, or refuses where one of them is, or was, something else
/// in a migration. A new store beside one whose kinds are on their way is a mistyped name.
pub(crate) async fn claim(legacy: Named<'_>, unified: Named<'_>) -> Result<()> {
    let known = [
        read_as(legacy, Side::Legacy).await?,
        read_as(unified, Side::Unified).await?,
    ];
    let pair = match known {
        [Some(legacy_pair), Some(unified_pair)] => {
            if legacy_pair != unified_pair {
                bail!(
                    "{} and {} are of two migrations: is one of the names right?",
                    legacy.1,
                    unified.1
                );
            }
            return Ok(());
        }
        [Some(pair), None] => {
            refuse_stranger(legacy, unified.1).await?;
            pair
        }
        [None, Some(pair)] => {
            refuse_stranger(unified, legacy.1).await?;
            pair
        }
        [None, None] => new_pair()?,
    };
    // If another process is faster, its pair is in legacy.
    let pair = write(legacy, Side::Legacy, &pair).await?;
    if write(unified, Side::Unified, &pair).await? != pair {
        bail!(
            "{} and {} were made parts of two migrations just now",
            legacy.1,
            unified.1
        );
    }
    Ok(())
}

/// Refuses a store that knows of no migration beside one with kinds that are in other modes than 0.
async fn refuse_stranger((known, of_known): Named<'_>, stranger: &StoreUrl) -> Result<()> {
    let stored = stored_modes(known, SPACE).await?;
    let moved = |stored: &&StoredMode| stored.mode > Mode::Zero || stored.changing_to.is_some();
    match stored.iter().find(moved) {
        None => Ok(()),
        Some(moved) => bail!(
            "{stranger} was never used beside {of_known}, where {} is in mode {}: is its name right?",
            moved.kind,
            moved.mode
        ),
    }
}

/// Returns the migration of a store, or refuses if the store is the other one of it.
async fn read_as((store, url): Named<'_>, side: Side) -> Result<Option<String>> {
    match read(store).await? {
        Some(known) if known.part != Part::from(side) => bail!(
            "{url} cannot be the {side} store: it is, or was, the {} one of a migration. Are \
             --legacy and --store swapped? For another migration take a copy of it, made by \
             `unistore copy`",
            side.other()
        ),
        known => Ok(known.map(|known| known.pair)),
    }
}

/// Writes down what a store is, unless that is known. Returns the migration that it is in then.
async fn write(named: Named<'_>, side: Side, pair: &str) -> Result<String> {
    let record = Record {
        part: side.into(),
        pair: pair.to_owned(),
    };
    let record = serde_json::to_vec(&record)?;
    let create = Transaction::put(key()?, Precondition::Absent, record);
    named.0.commit_one(create).await?;
    let known = read_as(named, side).await?;
    known.with_context(|| format!("{} does not keep which part it is", named.1))
}

fn new_pair() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("no randomness from the system")?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

/// Refuses to use a store alone while kinds are, in part, in the other store of a migration.
pub(crate) async fn check_alone(store: &dyn StorageBackend, url: &StoreUrl) -> Result<()> {
    let Some(Record { part, .. }) = read(store).await? else {
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

async fn read(store: &dyn StorageBackend) -> Result<Option<Record>> {
    let stored = store.get(&key()?, None).await?;
    let record = stored.map(|stored| serde_json::from_slice(&stored.value));
    Ok(record.transpose()?)
}

fn key() -> storage_core::Result<ResourceKey> {
    ResourceKey::internal("migrations", "", "part")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dualwriter::{DualWriter, DualWriterConfig, Forced, Options};
    use storage_core::Memory;

    use super::*;

    fn url(name: &str) -> StoreUrl {
        format!("memory:{name}").parse().unwrap()
    }

    async fn claimed(legacy: &Memory, unified: &Memory) -> Result<()> {
        let (old, new) = (url("old"), url("new"));
        claim((legacy, &old), (unified, &new)).await
    }

    #[tokio::test]
    async fn a_store_keeps_its_part() {
        let (legacy, unified) = (Memory::new(), Memory::new());
        check_alone(&legacy, &url("old")).await.unwrap();
        for _ in 0..2 {
            claimed(&legacy, &unified).await.unwrap();
        }
        let error = claimed(&unified, &legacy).await.unwrap_err();
        assert!(error.to_string().contains("swapped"), "{error}");
        check_alone(&legacy, &url("old")).await.unwrap();
    }

    /// A mistyped name made a new store; in it no kind had a mode, and clients saw nothing.
    #[tokio::test]
    async fn a_strange_store_is_refused_once_a_kind_is_on_its_way() {
        let kind: Kind = "a.b".parse().unwrap();
        let (legacy, unified) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
        claimed(&legacy, &unified).await.unwrap();
        // Nothing is moved yet: another new store may take the place of one.
        claimed(&legacy, &Memory::new()).await.unwrap();
        let options = Options::new(DualWriterConfig::default());
        let opening = DualWriter::open(legacy.clone(), unified.clone(), options);
        let dual = opening.await.unwrap();
        dual.set_mode(&kind, Mode::Two, Forced::No).await.unwrap();
        dual.sync(&kind, &mut |_| {}).await.unwrap();
        dual.set_mode(&kind, Mode::Three, Forced::No).await.unwrap();
        for (legacy, unified) in [(&*legacy, &Memory::new()), (&Memory::new(), &*unified)] {
            let error = claimed(legacy, unified).await.unwrap_err().to_string();
            assert!(
                error.contains("a.b is in mode 3: is its name right?"),
                "{error}"
            );
        }
        let (other_legacy, other_unified) = (Memory::new(), Memory::new());
        claimed(&other_legacy, &other_unified).await.unwrap();
        let error = claimed(&legacy, &other_unified).await.unwrap_err();
        assert!(error.to_string().contains("of two migrations"), "{error}");
        claimed(&legacy, &unified).await.unwrap();
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
