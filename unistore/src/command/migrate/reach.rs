use anyhow::Result;
use async_trait::async_trait;
use dualwriter::{Forced, Kind, Mode, Repair, Transition};
use unistore::StoreUrl;

use super::server::Server;
use super::stores::Stores;
use crate::cli::{ReachArguments, UnifiedStorageArguments};
use crate::config_file::ConfigFile;
use crate::migration::{Differing, Migration, Refused, Synced, Verified};
use crate::settings::Legacy;
use crate::unified_storage::kinds;

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
    let store: Option<StoreUrl> = file.or(arguments.stores.store, "storage", "store")?;
    let sync = UnifiedStorageArguments::default();
    let legacy = Legacy::new(arguments.stores.legacy, sync, file)?;
    match (arguments.data_dir, store, legacy) {
        (None, Some(store), Some(legacy)) => Ok(Box::new(Stores::open(&store, legacy).await?)),
        (data_dir, _, _) => {
            let data_dir = file.or(data_dir, "server", "data_dir")?;
            Ok(Box::new(Server::find(data_dir)?))
        }
    }
}
