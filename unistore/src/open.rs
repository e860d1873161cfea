//! Opening what the settings name.

use anyhow::{Context, Result, bail};
use dualwriter::Options;
use unistore::{Layers, StoreUrl, registry};

use crate::settings::Legacy;
use crate::sides::{self, Beginning};

/// Opens a store, or both and the dual writer above them.
pub(crate) async fn open(store: &StoreUrl, legacy: Option<&Legacy>) -> Result<Layers> {
    if let Some(legacy) = legacy
        && legacy.store == *store
    {
        bail!("--legacy and --store are the same store: {store}");
    }
    let unified = registry::open(store).await?;
    let Some(legacy) = legacy else {
        sides::check_alone(&unified, store).await?;
        return Ok(Layers::new(unified));
    };
    let left = registry::open(&legacy.store)
        .await
        .context("the legacy store")?;
    let beginning = Beginning::of(&legacy.config);
    sides::claim((&left, &legacy.store), (&unified, store), beginning).await?;
    let options = Options::new(legacy.config.clone());
    Ok(Layers::dual(left, unified, options).await?)
}
