//! The engines that are compiled in: the only place that selects by feature.

#[cfg(any(feature = "redb", feature = "sled"))]
mod kv;
mod memory;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(any(feature = "redb", feature = "sled", feature = "sqlite"))]
mod path;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "sled")]
mod sled;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use storage_core::{Error, ErrorKind, Result, StorageBackend};

use crate::StoreUrl;

/// A store that is being opened.
type Opening = BoxFuture<'static, Result<Arc<dyn StorageBackend>>>;

/// A store whose rows are being checked; each disagreement is a sentence.
type Checking = BoxFuture<'static, Result<Vec<String>>>;

/// An engine that is compiled in.
#[derive(Clone, Copy)]
pub struct Engine {
    /// The scheme of its stores' addresses.
    pub scheme: &'static str,
    /// The form of such an address.
    pub form: &'static str,
    /// Whether it keeps its data in files that it alone uses.
    pub embedded: bool,
    /// What it is, in a few words.
    pub about: &'static str,
    open: fn(StoreUrl) -> Opening,
    check: Option<fn(StoreUrl) -> Checking>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({})", self.form)
    }
}

/// In the order in which a default is chosen.
const ENGINES: &[Engine] = &[
    #[cfg(feature = "redb")]
    redb::ENGINE,
    #[cfg(feature = "sled")]
    sled::ENGINE,
    #[cfg(feature = "sqlite")]
    sqlite::ENGINE,
    #[cfg(feature = "postgres")]
    postgres::ENGINE,
    #[cfg(feature = "mysql")]
    mysql::ENGINE,
    memory::ENGINE,
];

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
    (find(url)?.open)(url.clone()).await
}

/// Opens a store that exists: for those who read it or move it.
///
/// # Errors
/// `NotFound` if an embedded store does not exist; or as [`open`].
pub async fn open_existing(url: &StoreUrl) -> Result<Arc<dyn StorageBackend>> {
    must_exist(url)?;
    open(url).await
}

/// Verifies what an engine stores row by row, where it has rows of its own, and returns what
/// disagrees. The store must not be open.
///
/// # Errors
/// As [`open_existing`].
pub async fn check_rows(url: &StoreUrl) -> Result<Vec<String>> {
    must_exist(url)?;
    match find(url)?.check {
        Some(check) => check(url.clone()).await,
        None => Ok(Vec::new()),
    }
}

fn find(url: &StoreUrl) -> Result<&'static Engine> {
    // What other programs write for PostgreSQL and MySQL.
    let scheme = match url.scheme() {
        "postgresql" => "postgres",
        "mariadb" => "mysql",
        scheme => scheme,
    };
    let found = ENGINES.iter().find(|engine| engine.scheme == scheme);
    found.ok_or_else(|| {
        let forms: Vec<_> = ENGINES.iter().map(|engine| engine.form).collect();
        let context = format!(
            "no engine {:?} in this binary; it has {}",
            url.scheme(),
            forms.join(", ")
        );
        Error::new(ErrorKind::Unsupported, "open store", context)
    })
}

/// Fails if an embedded store does not exist.
///
/// # Errors
/// `NotFound`, or `Unsupported` if the binary does not have the engine.
pub fn must_exist(url: &StoreUrl) -> Result<()> {
    if find(url)?.embedded && !Path::new(url.rest()).exists() {
        let context = format!("there is no store at {:?}", url.rest());
        return Err(Error::new(ErrorKind::NotFound, "open store", context));
    }
    Ok(())
}
