use std::sync::Arc;

use storage_core::Sharing;

use crate::engines::{on_each_engine, open};
use crate::stores::Store;

on_each_engine! {
    the_information_has_no_secret
}

async fn the_information_has_no_secret<S: Store>(store: Arc<S>) {
    let handle = open(&*store).await;
    let info = handle.info();
    assert!(
        info.location.starts_with(&format!("{}:", info.engine)),
        "{info:?}"
    );
    let url = url::Url::parse(&store.url()).unwrap();
    let shown = format!("{info:?} {handle:?}");
    assert!(
        url.password().is_none_or(|secret| !shown.contains(secret)),
        "{shown}"
    );
    let is_server = info.sharing == Sharing::ManyProcesses;
    assert_eq!(is_server, info.engine != "sqlite");
}
