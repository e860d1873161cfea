use std::sync::Arc;

use futures::FutureExt;
use storage_core::{Error, Memory, StorageBackend};

use super::{Engine, Opening};
use crate::StoreUrl;

pub(super) const ENGINE: Engine = Engine {
    scheme: "memory",
    form: "memory:",
    embedded: false,
    about: "in memory, gone with the process; for trials and tests",
    open,
    check: None,
};

fn open(url: StoreUrl) -> Opening {
    async move {
        if !url.rest().is_empty() {
            return Err(Error::invalid(
                "open store",
                "memory: takes nothing after the colon",
            ));
        }
        Ok(Arc::new(Memory::new()) as Arc<dyn StorageBackend>)
    }
    .boxed()
}
