use std::path::PathBuf;

use backend_kv::{SledEngine, SledOptions};
use futures::FutureExt;
use storage_core::Result;

use super::{Engine, kv};

pub(super) const ENGINE: Engine = Engine {
    scheme: "sled",
    form: "sled:PATH",
    embedded: true,
    about: "one folder, embedded; experimental",
    open: |url| kv::open(url, engine).boxed(),
    check: Some(|url| kv::check(url, engine).boxed()),
};

fn engine(path: PathBuf) -> Result<SledEngine> {
    SledEngine::open(path, &SledOptions::default())
}
