//! The engines that are compiled in: the only place that selects by feature.

mod memory;

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use storage_core::{Error, ErrorKind, Result, StorageBackend};

use crate::StoreUrl;

/// A store that is being opened.
type Opening = BoxFuture<'static, Result<Arc<dyn StorageBackend>>>;

/// An engine that is compiled in.
#[derive(Clone, Copy)]
pub struct Engine {
    /// The scheme of its stores' addresses.
    pub scheme: &'static str,
    /// The form of such an address.
    pub form: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    open: fn(StoreUrl) -> Opening,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({})", self.form)
    }
}

/// In the order in which a default is chosen.
const ENGINES: &[Engine] = &[memory::ENGINE];

/// Returns the engines that are compiled in.
#[must_use]
pub fn engines() -> &'static [Engine] {
    ENGINES
}

/// Opens a store, creating it if it does not exist.
///
/// # Errors
/// `Unsupported` for an engine that is not compiled in, with those that are; or whatever the engine
/// says.
pub async fn open(url: &StoreUrl) -> Result<Arc<dyn StorageBackend>> {
    // What other programs write for PostgreSQL and MySQL.
    let scheme = match url.scheme() {
        "postgresql" => "postgres",
        "mariadb" => "mysql",
        scheme => scheme,
    };
    match ENGINES.iter().find(|engine| engine.scheme == scheme) {
        Some(engine) => (engine.open)(url.clone()).await,
        None => {
            let forms: Vec<_> = ENGINES.iter().map(|engine| engine.form).collect();
            let context = format!(
                "no engine {:?} in this binary; it has {}",
                url.scheme(),
                forms.join(", ")
            );
            Err(Error::new(ErrorKind::Unsupported, "open store", context))
        }
    }
}
