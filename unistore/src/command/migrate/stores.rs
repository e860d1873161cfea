use anyhow::{Context, Result, bail};
use dualwriter::{
    DataSync, Difference, DualWriter, Forced, Kind, Mode, Refusal, Repair, SyncReport, Transition,
    TransitionError, VerifyReport,
};
use unistore::Layers;

use super::bar::Bar;
use crate::cli::{StoresArguments, UnifiedStorageArguments};
use crate::config_file::ConfigFile;
use crate::migration::Migration;
use crate::open::open;
use crate::settings::Legacy;
use crate::unified_storage::kinds;

/// Both stores, opened by this process beside those that serve them.
pub(super) struct Stores {
    layers: Layers,
}

impl Stores {
    pub(super) async fn open(arguments: StoresArguments, file: &ConfigFile) -> Result<Self> {
        let store = file.or(arguments.store, "storage", "store")?;
        let sync = UnifiedStorageArguments::default();
        let legacy = Legacy::new(arguments.legacy, sync, file)?;
        let (Some(store), Some(mut legacy)) = (store, legacy) else {
            bail!("name both stores, with --legacy and --store");
        };
        // What it is asked for is all that this process does.
        legacy.config.data_sync = DataSync::Disabled;
        let layers = open(&store, Some(&legacy)).await?;
        Ok(Self { layers })
    }

    pub(super) async fn close(&self) {
        self.layers.shutdown().await;
    }

    fn dual_writer(&self) -> Result<&DualWriter> {
        let dual_writer = self.layers.dual_writer().map(|dual_writer| &**dual_writer);
        dual_writer.context("there is no dual writer")
    }

    pub(super) async fn statuses(&self) -> Result<Vec<Migration>> {
        let mut statuses = Vec::new();
        for kind in kinds() {
            statuses.push(self.status(&kind).await?);
        }
        Ok(statuses)
    }

    pub(super) async fn status(&self, kind: &Kind) -> Result<Migration> {
        Ok(self.dual_writer()?.status(kind).await?.into())
    }

    pub(super) async fn mode(&self, kind: &Kind) -> Result<Mode> {
        Ok(Mode::from_number(self.status(kind).await?.status.mode)?)
    }

    pub(super) async fn sync(&self, kind: &Kind) -> Result<SyncReport> {
        let bar = Bar::new("syncing")?;
        let dual_writer = self.dual_writer()?;
        let mut show = |progress| bar.show(progress);
        Ok(dual_writer.sync(kind, &mut show).await?)
    }

    pub(super) async fn set_mode(
        &self,
        kind: &Kind,
        to: Mode,
        forced: Forced,
    ) -> Result<Result<Transition, Refusal>> {
        match self.dual_writer()?.set_mode(kind, to, forced).await {
            Ok(transition) => Ok(Ok(transition)),
            Err(TransitionError::Refused(refusal)) => Ok(Err(refusal)),
            Err(TransitionError::Storage(error)) => Err(error.into()),
        }
    }

    pub(super) async fn verify(
        &self,
        kind: &Kind,
        repair: Repair,
        mut on_difference: impl FnMut(Difference) + Send,
    ) -> Result<VerifyReport> {
        let bar = Bar::new("comparing")?;
        let dual_writer = self.dual_writer()?;
        let mut show = |progress| bar.show(progress);
        Ok(dual_writer
            .verify(kind, repair, &mut on_difference, &mut show)
            .await?)
    }
}
