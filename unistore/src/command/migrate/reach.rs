use anyhow::Result;
use dualwriter::{Forced, Kind, Mode, Repair, Transition};
use unistore::StoreUrl;

use super::server::Server;
use super::stores::Stores;
use crate::cli::{ReachArguments, UnifiedStorageArguments};
use crate::config_file::ConfigFile;
use crate::migration::{Differing, Migration, Refused, Synced, Verified};
use crate::settings::Legacy;

/// The way to the dual writer.
pub(super) enum Reach {
    /// In this process, on the stores.
    Stores(Box<Stores>),
    /// In a server.
    Server(Box<Server>),
}

impl Reach {
    pub(super) async fn new(arguments: ReachArguments, file: &ConfigFile) -> Result<Self> {
        let store: Option<StoreUrl> = file.or(arguments.stores.store, "storage", "store")?;
        let sync = UnifiedStorageArguments::default();
        let legacy = Legacy::new(arguments.stores.legacy, sync, file)?;
        match (arguments.data_dir, store, legacy) {
            (None, Some(store), Some(legacy)) => {
                let stores = Stores::open(&store, legacy).await?;
                Ok(Self::Stores(Box::new(stores)))
            }
            (data_dir, _, _) => {
                let data_dir = file.or(data_dir, "server", "data_dir")?;
                Ok(Self::Server(Box::new(Server::find(data_dir)?)))
            }
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Stores(stores) => stores.close().await,
            Self::Server(_) => {}
        }
    }

    pub(super) async fn statuses(&self) -> Result<Vec<Migration>> {
        match self {
            Self::Stores(stores) => stores.statuses().await,
            Self::Server(server) => server.statuses().await,
        }
    }

    pub(super) async fn status(&self, kind: &Kind) -> Result<Migration> {
        match self {
            Self::Stores(stores) => stores.status(kind).await,
            Self::Server(server) => server.status(kind).await,
        }
    }

    pub(super) async fn mode(&self, kind: &Kind) -> Result<Mode> {
        Ok(Mode::from_number(self.status(kind).await?.status.mode)?)
    }

    pub(super) async fn set_mode(
        &self,
        kind: &Kind,
        to: Mode,
        forced: Forced,
    ) -> Result<Result<Transition, Refused>> {
        match self {
            Self::Stores(stores) => stores.set_mode(kind, to, forced).await,
            Self::Server(server) => server.set_mode(kind, to, forced).await,
        }
    }

    pub(super) async fn sync(&self, kind: &Kind) -> Result<Synced> {
        match self {
            Self::Stores(stores) => stores.sync(kind).await,
            Self::Server(server) => server.sync(kind).await,
        }
    }

    pub(super) async fn verify(
        &self,
        kind: &Kind,
        repair: Repair,
        on_difference: impl FnMut(&Differing) + Send,
    ) -> Result<Verified> {
        match self {
            Self::Stores(stores) => stores.verify(kind, repair, on_difference).await,
            Self::Server(server) => server.verify(kind, repair, on_difference).await,
        }
    }
}
