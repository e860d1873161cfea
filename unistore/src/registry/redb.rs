use std::path::PathBuf;

use backend_kv::{RedbEngine, RedbOptions};
use futures::FutureExt;
use storage_core::Result;

use super::{Engine, kv};

pub(super) const ENGINE: Engine = Engine {
    scheme: "redb",
    form: "redb:PATH",
    embedded: true,
    about: "one file, embedded; the default",
    open: |url| kv::open(url, engine).boxed(),
    check: Some(|url| kv::check(url, engine).boxed()),
};

fn engine(path: PathBuf) -> Result<RedbEngine> {
    RedbEngine::open(path, &RedbOptions::default())
}
