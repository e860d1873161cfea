use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use storage_core::{Sharing, SystemClock};

use crate::engines::{on_each_engine, open};
use crate::stores::Store;

/// How often a store is opened and closed.
const OPENINGS: usize = 50;

on_each_engine! {
    the_information_has_no_secret
    a_closed_store_can_be_opened_while_processes_start
}

/// A child has the files of its parent until it is another program, and with them their locks.
async fn a_closed_store_can_be_opened_while_processes_start<S: Store>(store: Arc<S>) {
    let stop = Arc::new(AtomicBool::new(false));
    let starters = [(), ()].map(|()| {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                Command::new("true").status().unwrap();
            }
        })
    });
    let mut reopened = Ok(());
    for _ in 0..OPENINGS {
        reopened = reopened.and(store.open(Arc::new(SystemClock)).await.map(drop));
    }
    stop.store(true, Ordering::Relaxed);
    for starter in starters {
        starter.join().unwrap();
    }
    reopened.unwrap();
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
