use anyhow::{Context, Result};
use async_trait::async_trait;
use dualwriter::{
    DataSync, Difference, DualWriter, Forced, Kind, Mode, Progress, Repair, Transition,
    TransitionError,
};
use unistore::{Layers, StoreUrl, registry};

use super::bar::Bar;
use super::reach::{OnDifference, Reach};
use crate::migration::{
    DIFFERENCES_LISTED_MAX, Differing, FirstDifferences, Migration, Refused, Synced, Verified,
};
use crate::open::open;
use crate::settings::Legacy;

/// Both stores, opened by this process beside those that serve them.
pub(super) struct Stores {
    layers: Layers,
}

impl Stores {
    pub(super) async fn open(store: &StoreUrl, mut legacy: Legacy) -> Result<Self> {
        // What is to be left is there; a mistyped name makes no store.
        registry::must_exist(&legacy.store)?;
        // What it is asked for is all that this process does.
        legacy.config.data_sync = DataSync::Disabled;
        let layers = open(store, Some(&legacy)).await.context(
            "cannot work on the stores (where a server has them for itself, ask it: name its \
             --data-dir)",
        )?;
        Ok(Self { layers })
    }

    fn dual_writer(&self) -> Result<&DualWriter> {
        let dual_writer = self.layers.dual_writer().map(|dual_writer| &**dual_writer);
        dual_writer.context("there is no dual writer")
    }
}

#[async_trait]
impl Reach for Stores {
    async fn close(&self) {
        self.layers.shutdown().await;
    }

    fn after_interrupt(&self) -> &'static str {
        "`unistore migrate status` tells how far it came; a sync that is asked for again goes on from there"
    }

    async fn status(&self, kind: &Kind) -> Result<Migration> {
        Ok(self.dual_writer()?.status(kind).await?.into())
    }

    async fn set_mode(
        &self,
        kind: &Kind,
        to: Mode,
        forced: Forced,
    ) -> Result<Result<Transition, Refused>> {
        match self.dual_writer()?.set_mode(kind, to, forced).await {
            Ok(transition) => Ok(Ok(transition)),
            Err(TransitionError::Refused(refusal)) => Ok(Err(refusal.into())),
            Err(TransitionError::Storage(error)) => Err(error.into()),
        }
    }

    async fn sync(&self, kind: &Kind) -> Result<Synced> {
        let bar = Bar::new("syncing")?;
        let mut show = |now: Progress| bar.show(now.compared, now.total);
        Ok(self.dual_writer()?.sync(kind, &mut show).await?.into())
    }

    async fn verify(
        &self,
        kind: &Kind,
        repair: Repair,
        on_difference: OnDifference<'_>,
    ) -> Result<Verified> {
        let bar = Bar::new("comparing")?;
        let mut found = FirstDifferences::new(DIFFERENCES_LISTED_MAX);
        let mut keep = |difference: Difference| {
            let differing = Differing::from(difference);
            bar.aside(|| on_difference(&differing));
            found.push(differing);
        };
        let mut show = |now: Progress| bar.show(now.compared, now.total);
        let dual_writer = self.dual_writer()?;
        let report = dual_writer
            .verify(kind, repair, &mut keep, &mut show)
            .await?;
        Ok(Verified::new(report, found))
    }
}
