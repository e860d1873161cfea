use std::path::PathBuf;

use storage_core::{Error, Result};

use crate::StoreUrl;

/// Returns the path in the address of an embedded store.
pub(super) fn path(url: &StoreUrl) -> Result<PathBuf> {
    if url.rest().is_empty() {
        let context = format!("{}: needs a path after the colon", url.scheme());
        return Err(Error::invalid("open store", context));
    }
    Ok(PathBuf::from(url.rest()))
}
