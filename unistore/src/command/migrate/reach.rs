use anyhow::{Result, bail};
use async_trait::async_trait;
use dualwriter::{Forced, Kind, Mode, Repair, Transition};
use unistore::StoreUrl;

use super::server::Server;
use super::stores::Stores;
use crate::cli::ReachArguments;
use crate::config_file::ConfigFile;
use crate::migration::{Differing, Migration, Refused, Synced, Verified};
use crate::settings::Legacy;
use crate::unified_storage::kinds;

/// Where the server keeps its files. Not a default of the flag, which goes before the stores.
const DATA_DIR_VARIABLE: &str = "UNISTORE_SERVER_DATA_DIR";

/// Told of each difference that is found.
pub(super) type OnDifference<'a> = &'a mut (dyn FnMut(&Differing) + Send);

/// The way to the dual writer.
#[async_trait]
pub(super) trait Reach: Send + Sync {
    async fn status(&self, kind: &Kind) -> Result<Migration>;

    async fn set_mode(
        &self,
        kind: &Kind,
        to: Mode,
        forced: Forced,
    ) -> Result<Result<Transition, Refused>>;

    async fn sync(&self, kind: &Kind) -> Result<Synced>;

    async fn verify(
        &self,
        kind: &Kind,
        repair: Repair,
        on_difference: OnDifference<'_>,
    ) -> Result<Verified>;

    async fn close(&self) {}

    /// Says what becomes of an order that a signal broke off.
    fn after_interrupt(&self) -> &'static str;

    async fn statuses(&self) -> Result<Vec<Migration>> {
        let mut statuses = Vec::new();
        for kind in kinds() {
            statuses.push(self.status(&kind).await?);
        }
        Ok(statuses)
    }

    async fn mode(&self, kind: &Kind) -> Result<Mode> {
        Ok(Mode::from_number(self.status(kind).await?.status.mode)?)
    }
}

/// Finds the way: in this process where both stores are named, else in a server.
pub(super) async fn reach(arguments: ReachArguments, file: &ConfigFile) -> Result<Box<dyn Reach>> {
    if arguments.data_dir.is_some() {
        return Ok(Box::new(Server::find(arguments.data_dir)?));
    }
    let given = &arguments.stores;
    let one_alone = match (given.store.is_some(), given.legacy.is_some()) {
        (true, false) => Some(("--store", "--legacy")),
        (false, true) => Some(("--legacy", "--store")),
        (true, true) | (false, false) => None,
    };
    let store: Option<StoreUrl> = file.or(arguments.stores.store, "storage", "store")?;
    let sync = arguments.unified_storage;
    let legacy = Legacy::new(arguments.stores.legacy, sync, file)?;
    match (store, legacy, one_alone) {
        (Some(store), Some(legacy), _) => Ok(Box::new(Stores::open(&store, legacy).await?)),
        (_, _, Some((given, missing))) => bail!(
            "{given} is given without {missing}: name both stores, or the server that has them \
             with --data-dir"
        ),
        (_, _, None) => {
            let in_environment = std::env::var_os(DATA_DIR_VARIABLE).map(Into::into);
            let data_dir = file.or(in_environment, "server", "data_dir")?;
            Ok(Box::new(Server::find(data_dir)?))
        }
    }
}
