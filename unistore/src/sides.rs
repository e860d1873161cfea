//! Which store of a migration is which. It is written down in both, because to swap them, or to use
//! one of them alone, would make every client see the wrong objects.

use anyhow::{Context, Result, bail};
use dualwriter::{DualWriterConfig, Kind, Mode, SPACE, Side, StoredMode, outdated, stored_modes};
use serde::{Deserialize, Serialize};
use storage_core::{
    ListQuery, Order, Precondition, ResourceKey, Revision, Scope, StorageBackend,
    StorageBackendExt, Transaction,
};
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

/// Where the objects are when a migration begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// In legacy, of all kinds.
    InLegacy,
    /// In unified, of some kinds: their modes are 4 or 5 by the configuration.
    InUnified,
}

impl Beginning {
    /// Returns where objects are by the modes that a configuration asks for.
    pub(crate) fn of(config: &DualWriterConfig) -> Self {
        let mut modes = config.modes.values().chain([&config.default_mode]);
        if modes.any(|mode| *mode >= Mode::Four) {
            Self::InUnified
        } else {
            Self::InLegacy
        }
    }
}

/// A store and what it is called.
pub(crate) type Named<'a> = (&'a dyn StorageBackend, &'a StoreUrl);

/// Makes two stores those of one migration, or refuses where one of them is, or was, something else
/// in a migration. A new store beside one whose kinds are on their way is a mistyped name, and a
/// legacy store without objects beside a unified one that has some is the wrong way round. Writes
/// nothing where it refuses.
pub(crate) async fn claim(
    legacy: Named<'_>,
    unified: Named<'_>,
    beginning: Beginning,
) -> Result<()> {
    turn_round(legacy, unified).await?;
    let known = [
        read_as(legacy, Side::Legacy).await?,
        read_as(unified, Side::Unified).await?,
    ];
    let legacy_is_unknown = known[0].is_none();
    let pair = match known {
        [Some(legacy_pair), Some(unified_pair)] => {
            if legacy_pair != unified_pair {
                bail!(
                    "{} and {} are of two migrations: is one of the names right?",
                    legacy.1,
                    unified.1
                );
            }
            return refuse_outdated(legacy, unified).await;
        }
        [Some(pair), None] => {
            refuse_stranger(legacy, unified.1).await?;
            pair
        }
        [None, Some(pair)] => {
            refuse_stranger(unified, legacy.1).await?;
            pair
        }
        [None, None] => {
            if beginning == Beginning::InLegacy {
                refuse_swapped(legacy, unified).await?;
            }
            new_pair()?
        }
    };
    if legacy_is_unknown && !holds_objects(legacy.0).await? {
        let store = legacy.1;
        tracing::warn!("the legacy store {store} is new: it holds no objects. Is its name right?");
    }
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

/// Takes anew what was claimed the wrong way round, if nothing came of it: all objects are in the
/// store that is to be legacy, and no kind was ever moved. One that was moved there and back does
/// not change again with the stores the other way round: their records of its mode have aged apart.
/// Otherwise does nothing.
async fn turn_round(legacy: Named<'_>, unified: Named<'_>) -> Result<()> {
    let (Some(in_legacy), Some(in_unified)) = (read(legacy.0).await?, read(unified.0).await?)
    else {
        return Ok(());
    };
    // The record of legacy is replaced first: it may be right already, if that was cut off then.
    let (of_legacy, of_unified) = (&in_legacy.0, &in_unified.0);
    if of_legacy.pair != of_unified.pair
        || of_unified.part != Part::Legacy
        || was_anything_moved(legacy.0).await?
        || was_anything_moved(unified.0).await?
        || holds_objects(unified.0).await?
        || !holds_objects(legacy.0).await?
    {
        return Ok(());
    }
    replace(legacy, Side::Legacy, &in_legacy).await?;
    replace(unified, Side::Unified, &in_unified).await?;
    tracing::info!(legacy = %legacy.1, unified = %unified.1, "the two stores have changed parts");
    Ok(())
}

/// Writes down what else a store is, if that is still as it was read.
async fn replace(named: Named<'_>, side: Side, known: &(Record, Revision)) -> Result<()> {
    let (Record { pair, .. }, revision) = known;
    let record = encoded(side, pair)?;
    let put = Transaction::put(key()?, Precondition::Revision(*revision), record);
    // If another process was faster, what it wrote is looked at next.
    named.0.commit_one(put).await?;
    Ok(())
}

/// Tells whether a change of mode was ever begun: before the first one a kind has no record.
async fn was_anything_moved(store: &dyn StorageBackend) -> Result<bool> {
    Ok(!stored_modes(store, SPACE).await?.is_empty())
}

fn is_moved(stored: &StoredMode) -> bool {
    stored.mode > Mode::Zero || stored.changing_to.is_some()
}

/// Refuses to begin with all objects in unified: in mode 0 clients would see none of them.
async fn refuse_swapped(legacy: Named<'_>, unified: Named<'_>) -> Result<()> {
    if holds_objects(unified.0).await? && !holds_objects(legacy.0).await? {
        bail!(
            "{} holds no objects and {} does: are --legacy and --store swapped? A migration \
             begins with the objects in legacy",
            legacy.1,
            unified.1
        );
    }
    Ok(())
}

/// Tells whether there is, or was, an object: control records are none.
async fn holds_objects(store: &dyn StorageBackend) -> Result<bool> {
    let history = ListQuery::history(Scope::All, Order::Ascending).limit(1);
    Ok(!store.list(&history).await?.items.is_empty())
}

/// Refuses two stores of which one is from before a change of mode that the other one knows of: clients
/// would miss what only the newer one has, and a sync would take it out of that.
async fn refuse_outdated(legacy: Named<'_>, unified: Named<'_>) -> Result<()> {
    let Some(found) = outdated(legacy.0, unified.0, SPACE).await? else {
        return Ok(());
    };
    let (old, new) = match found.side {
        Side::Legacy => (legacy.1, unified.1),
        Side::Unified => (unified.1, legacy.1),
    };
    bail!(
        "{old} is older than {new}: {} is in mode {} by it, and in mode {} by the other. Was it restored          from a backup? Take both stores of one time, or go on with one of them: {}",
        found.kind,
        found.mode,
        found.newer,
        way_out(new)
    )
}

/// Refuses a store that knows of no migration beside one with kinds that are in other modes than 0.
async fn refuse_stranger((known, of_known): Named<'_>, stranger: &StoreUrl) -> Result<()> {
    let stored = stored_modes(known, SPACE).await?;
    match stored.iter().find(|stored| is_moved(stored)) {
        None => Ok(()),
        Some(moved) => bail!(
            "{stranger} was never used beside {of_known}, where {} is in mode {}: is its name right? \
             If the other store is lost, {}",
            moved.kind,
            moved.mode,
            way_out(of_known)
        ),
    }
}

/// Says how to go on with a store whose other one is gone.
fn way_out(url: &StoreUrl) -> String {
    format!(
        "`unistore copy {url} URL` makes a store of what this one holds, which is in no migration"
    )
}

/// Returns the migration of a store, or refuses if the store is the other one of it.
async fn read_as((store, url): Named<'_>, side: Side) -> Result<Option<String>> {
    match read(store).await?.map(|(known, _)| known) {
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
    let create = Transaction::put(key()?, Precondition::Absent, encoded(side, pair)?);
    named.0.commit_one(create).await?;
    let known = read_as(named, side).await?;
    known.with_context(|| format!("{} does not keep which part it is", named.1))
}

fn encoded(side: Side, pair: &str) -> Result<Vec<u8>> {
    let record = Record {
        part: side.into(),
        pair: pair.to_owned(),
    };
    Ok(serde_json::to_vec(&record)?)
}

fn new_pair() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("no randomness from the system")?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

/// Refuses to use a store alone while kinds are, in part, in the other store of a migration.
pub(crate) async fn check_alone(store: &dyn StorageBackend, url: &StoreUrl) -> Result<()> {
    let Some((Record { part, .. }, _)) = read(store).await? else {
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
             mode 0 first; if the other store is lost, {}",
            way_out(url)
        ),
        (Part::Unified, Some((kind, mode))) => bail!(
            "{url} is the unified store of a migration, and {kind} is in mode {mode}: alone it \
             would miss objects or writes. Serve it beside --legacy, or promote to mode 4 first; \
             if the other store is lost, {}",
            way_out(url)
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

async fn read(store: &dyn StorageBackend) -> Result<Option<(Record, Revision)>> {
    let Some(stored) = store.get(&key()?, None).await? else {
        return Ok(None);
    };
    Ok(Some((
        serde_json::from_slice(&stored.value)?,
        stored.revision,
    )))
}

fn key() -> storage_core::Result<ResourceKey> {
    ResourceKey::internal("migrations", "", "part")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dualwriter::{DualWriter, Forced, Options};
    use storage_core::{INTERNAL_GROUP, Memory};

    use super::*;

    fn url(name: &str) -> StoreUrl {
        format!("memory:{name}").parse().unwrap()
    }

    async fn claimed(legacy: &Memory, unified: &Memory) -> Result<()> {
        let (old, new) = (url("old"), url("new"));
        claim((legacy, &old), (unified, &new), Beginning::InLegacy).await
    }

    fn object(name: &str) -> ResourceKey {
        ResourceKey::new("b", "a", "default", name).unwrap()
    }

    async fn with_object() -> Arc<Memory> {
        let store = Memory::new();
        store.create(object("x"), "1".into()).await.unwrap();
        Arc::new(store)
    }

    async fn dual(legacy: &Arc<Memory>, unified: &Arc<Memory>) -> DualWriter {
        let options = Options::new(DualWriterConfig::default());
        let opening = DualWriter::open(legacy.clone(), unified.clone(), options);
        opening.await.unwrap()
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
        let dual = dual(&legacy, &unified).await;
        dual.set_mode(&kind, Mode::Two, Forced::No).await.unwrap();
        dual.sync(&kind, &mut |_| {}).await.unwrap();
        dual.set_mode(&kind, Mode::Three, Forced::No).await.unwrap();
        for (legacy, unified) in [(&*legacy, &Memory::new()), (&Memory::new(), &*unified)] {
            let error = claimed(legacy, unified).await.unwrap_err().to_string();
            assert!(
                error.contains("a.b is in mode 3: is its name right?"),
                "{error}"
            );
            // Whoever has lost the other store is told how to go on.
            let way_out = "If the other store is lost, `unistore copy memory:";
            assert!(error.contains(way_out), "{error}");
        }
        let (other_legacy, other_unified) = (Memory::new(), Memory::new());
        claimed(&other_legacy, &other_unified).await.unwrap();
        let error = claimed(&legacy, &other_unified).await.unwrap_err();
        assert!(error.to_string().contains("of two migrations"), "{error}");
        claimed(&legacy, &unified).await.unwrap();
    }

    /// A store that was restored from a backup was believed: clients missed what was written since, and
    /// a sync took it out of the other one.
    #[tokio::test]
    async fn a_store_that_is_older_than_the_other_is_refused() {
        let kind: Kind = "a.b".parse().unwrap();
        let (legacy, unified) = (with_object().await, Arc::new(Memory::new()));
        claimed(&legacy, &unified).await.unwrap();
        let dual = dual(&legacy, &unified).await;
        dual.set_mode(&kind, Mode::Two, Forced::No).await.unwrap();
        let modes = Scope::resource(INTERNAL_GROUP, format!("{SPACE}.mode"));
        let backup = unified.list(&ListQuery::live(modes)).await.unwrap().items;
        dual.sync(&kind, &mut |_| {}).await.unwrap();
        dual.set_mode(&kind, Mode::Four, Forced::No).await.unwrap();
        dual.close().await.unwrap();
        claimed(&legacy, &unified).await.unwrap();
        for record in backup {
            let restored = Transaction::put(record.key, Precondition::Any, record.value);
            unified.commit_one(restored).await.unwrap();
        }
        let error = claimed(&legacy, &unified).await.unwrap_err().to_string();
        assert!(
            error.starts_with(
                "memory:new is older than memory:old: a.b is in mode 2 by it, and in mode 4 by"
            ),
            "{error}"
        );
    }

    /// The stores were claimed the wrong way round for good, and clients saw no objects.
    #[tokio::test]
    async fn a_migration_does_not_begin_with_all_objects_in_unified() {
        let (empty, full) = (Arc::new(Memory::new()), with_object().await);
        let error = claimed(&empty, &full).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "memory:old holds no objects and memory:new does: are --legacy and --store swapped? A \
             migration begins with the objects in legacy"
        );
        for store in [&empty, &full] {
            assert!(read(&**store).await.unwrap().is_none());
        }
        claimed(&full, &empty).await.unwrap();
        // Both hold some, or the configuration says that they are in unified.
        let (first, second) = (with_object().await, with_object().await);
        claimed(&first, &second).await.unwrap();
        let (empty, full) = (Memory::new(), with_object().await);
        let (old, new) = (url("old"), url("new"));
        let stores = ((&empty as _, &old), (&*full as _, &new));
        claim(stores.0, stores.1, Beginning::InUnified)
            .await
            .unwrap();
    }

    #[test]
    fn a_configuration_tells_where_objects_are() {
        let mut config = DualWriterConfig::default();
        assert_eq!(Beginning::of(&config), Beginning::InLegacy);
        config.modes.insert("a.b".parse().unwrap(), Mode::Three);
        assert_eq!(Beginning::of(&config), Beginning::InLegacy);
        config.modes.insert("c.d".parse().unwrap(), Mode::Four);
        assert_eq!(Beginning::of(&config), Beginning::InUnified);
        let all = DualWriterConfig::everything(Mode::Five);
        assert_eq!(Beginning::of(&all), Beginning::InUnified);
    }

    /// Two stores, claimed the wrong way round by a version that did not look.
    async fn swapped() -> (Arc<Memory>, Arc<Memory>) {
        let (full, empty) = (with_object().await, Arc::new(Memory::new()));
        let (old, new) = (url("old"), url("new"));
        let stores = ((&*empty as _, &old), (&*full as _, &new));
        claim(stores.0, stores.1, Beginning::InUnified)
            .await
            .unwrap();
        (full, empty)
    }

    async fn part(store: &Memory) -> Part {
        read(store).await.unwrap().unwrap().0.part
    }

    #[tokio::test]
    async fn a_claim_the_wrong_way_round_is_taken_anew() {
        let kind: Kind = "a.b".parse().unwrap();
        let (full, empty) = swapped().await;
        let wrong = dual(&empty, &full).await;
        wrong.apply_config().await.unwrap();
        assert_eq!(wrong.status(&kind).await.unwrap().mode, 0);
        assert!(wrong.get(&object("x"), None).await.unwrap().is_none());
        wrong.close().await.unwrap();
        claimed(&full, &empty).await.unwrap();
        assert_eq!(part(&full).await, Part::Legacy);
        assert_eq!(part(&empty).await, Part::Unified);
        claimed(&full, &empty).await.unwrap();
        let error = claimed(&empty, &full).await.unwrap_err();
        assert!(error.to_string().contains("swapped"), "{error}");
        let right = dual(&full, &empty).await;
        right.set_mode(&kind, Mode::Two, Forced::No).await.unwrap();
        let synced = right.sync(&kind, &mut |_| {}).await.unwrap();
        assert_eq!((synced.repaired, synced.failed), (1, 0));
        right
            .set_mode(&kind, Mode::Three, Forced::No)
            .await
            .unwrap();
        assert!(right.get(&object("x"), None).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_claim_that_was_turned_in_one_store_is_turned_in_the_other() {
        let (full, empty) = swapped().await;
        let known = read(&*full).await.unwrap().unwrap();
        replace((&*full, &url("old")), Side::Legacy, &known)
            .await
            .unwrap();
        claimed(&full, &empty).await.unwrap();
        assert_eq!(part(&empty).await, Part::Unified);
    }

    #[tokio::test]
    async fn a_claim_that_something_came_of_stands() {
        let kind: Kind = "a.b".parse().unwrap();
        let (moved, back) = (swapped().await, swapped().await);
        for (stores, modes) in [
            (&moved, &[Mode::One][..]),
            // The other way round, the next change of mode found another one in its way for ever.
            (&back, &[Mode::One, Mode::Zero]),
        ] {
            let dual = dual(&stores.1, &stores.0).await;
            for mode in modes {
                dual.set_mode(&kind, *mode, Forced::No).await.unwrap();
            }
            dual.close().await.unwrap();
        }
        let used = swapped().await;
        used.1.create(object("y"), "1".into()).await.unwrap();
        for (full, empty) in [moved, back, used] {
            let error = claimed(&full, &empty).await.unwrap_err();
            assert!(error.to_string().contains("swapped"), "{error}");
            assert_eq!(part(&full).await, Part::Unified);
            assert_eq!(part(&empty).await, Part::Legacy);
        }
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
